package election_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stile-dev/stile/recipes/election"
	"github.com/stile-dev/stile/recipes/internal/answers"
	"github.com/stile-dev/stile/recipes/session"
)

// TestLostAnswers loses the answer of each request of each call, in turn. Afterwards the result was right, or the error says that it is not
// known or that the caller's time was over; nobody else's term was touched; no ghost stands for the election; a rival can lead; and once the
// sessions are closed no key is left, and no lease.
func TestLostAnswers(t *testing.T) {
	all := map[string]func(*answers.Case){}
	for what, scenarios := range map[string]map[string]func(*answers.Case){
		"Campaign": lostAnswersOfCampaign(), "Resign": lostAnswersOfResign(), "HandOver": lostAnswersOfHandOver(), "others": lostAnswersOfOthers(),
	} {
		for name, scenario := range scenarios {
			all[what+", "+name] = scenario
		}
	}
	answers.Each(t, all)
}

// campaign is a case of Campaign, of an election that will be won through what is done meanwhile.
func (s *subject) campaign(meanwhile func()) {
	s.Helper()
	var term *election.Term
	var err error
	s.while(func(ctx context.Context) { term, err = election.Campaign(ctx, s.session, "x") }, meanwhile)
	s.got(term, err)
}

func lostAnswersOfCampaign() map[string]func(*answers.Case) {
	return map[string]func(*answers.Case){
		"free": withSessions(func(s *subject) { s.campaign(func() {}) }),
		"the leader resigns": withSessions(func(s *subject) {
			first := s.leads(s.rival)
			s.campaign(func() {
				s.sends(2) // the join and the look
				s.resign(first)
			})
		}),
		"the leader dies": withSessions(func(s *subject) {
			other := s.opens(s.Others, session.NoRejoin())
			first := s.leads(other)
			s.campaign(func() {
				s.sends(2)
				s.crash()
			})
			<-first.Context().Done()
			_ = other.Close(context.Background())
		}),
		"the leader dies, and the heir appoints another": withSessions(func(s *subject) {
			s.Racy = true // it may hear of both at once
			other := s.opens(s.Others, session.NoRejoin())
			_ = s.leads(other)
			var next *election.Term
			s.campaign(func() {
				s.sends(2)
				_, won := s.candidate(s.rival, election.Priority(1))
				s.crash()
				next = s.next(won)
				s.resign(next)
			})
			_ = other.Close(context.Background())
		}),
		"given up": withSessions(func(s *subject) {
			first := s.leads(s.rival)
			var err error
			s.while(func(ctx context.Context) {
				ctx, cancel := context.WithCancel(ctx)
				go func() { s.sends(2); cancel() }()
				_, err = election.Campaign(ctx, s.session, "x")
			}, func() {})
			if !errors.Is(err, context.Canceled) {
				s.Errorf("Campaign = %v", err)
			}
			s.resign(first)
			s.end()
		}),
	}
}

// gives judges how a term was given away.
func (s *subject) gives(what string, give func(ctx context.Context) error, term *election.Term) {
	s.Helper()
	var err error
	s.Call(func(ctx context.Context) { err = give(ctx) })
	if err != nil && (!s.Form.Hurried || !errors.Is(err, session.ErrUnknownOutcome)) {
		s.Errorf("%s = %v", what, err)
	}
	if err := term.Err(); !errors.Is(err, session.ErrReleased) {
		s.Errorf("Err() after %s = %v, want ErrReleased", what, err)
	}
	if again := term.Resign(s.Context()); !errors.Is(again, err) {
		s.Errorf("Resign after %s = %v, want what the first returned, %v", what, again, err)
	}
}

func lostAnswersOfResign() map[string]func(*answers.Case) {
	return map[string]func(*answers.Case){
		"nobody waits": withSessions(func(s *subject) {
			term := s.leads(s.session)
			s.gives("Resign", term.Resign, term)
			s.Reach(answers.Got)
			s.end()
		}),
		"two wait": withSessions(func(s *subject) {
			term := s.leads(s.session)
			_, first := s.candidate(s.rival)
			_, second := s.candidate(s.rival, election.Priority(1))
			s.gives("Resign", term.Resign, term)
			s.passes(second, first)
		}),
		"of one that was appointed": withSessions(func(s *subject) { // then the mark on its entry is to be deleted
			before := s.leads(s.rival)
			_, won := s.candidate(s.session)
			s.resign(before)
			term := s.next(won)
			s.gives("Resign", term.Resign, term)
			s.Reach(answers.Got)
			s.end()
		}),
	}
}

// passes: the one leads, then the other, and a late request touches neither.
func (s *subject) passes(first, second <-chan *election.Term) {
	s.Helper()
	term := s.next(first)
	s.Reach(answers.Got)
	s.holds(term)
	s.resign(term)
	term = s.next(second)
	s.holds(term)
	s.resign(term)
	s.end()
}

func lostAnswersOfHandOver() map[string]func(*answers.Case) {
	return map[string]func(*answers.Case){
		"to the second": withSessions(func(s *subject) {
			term := s.leads(s.session)
			_, first := s.candidate(s.rival)
			id, second := s.candidate(s.rival)
			var err error
			s.Call(func(ctx context.Context) { err = term.HandOver(ctx, id) })
			unknown := errors.Is(err, session.ErrUnknownOutcome)
			if err != nil && !s.Form.Hurried {
				s.Errorf("HandOver = %v", err)
			}
			if err != nil && !unknown { // it could not even look
				if err := term.Err(); err != nil {
					s.Errorf("Err() after a HandOver that was not tried = %v", err)
				}
				s.Calm()
				if err := term.HandOver(s.Context(), id); err != nil {
					s.Errorf("HandOver again = %v", err)
				}
			}
			if unknown { // the session resigns: either of them may lead first
				select {
				case next := <-first:
					s.Reach(answers.Got)
					s.holds(next)
					s.resign(next)
					s.resign(s.next(second))
					s.end()
					return
				case next := <-second:
					s.Reach(answers.Got)
					s.holds(next)
					s.resign(next)
					s.resign(s.next(first))
					s.end()
					return
				}
			}
			s.passes(second, first)
		}),
	}
}

func lostAnswersOfOthers() map[string]func(*answers.Case) {
	return map[string]func(*answers.Case){
		"Proclaim": withSessions(func(s *subject) {
			term := s.leads(s.session)
			var err error
			s.Call(func(ctx context.Context) { err = term.Proclaim(ctx, "a") })
			s.Calm()
			switch value := s.state().Leader.Value; {
			case err == nil && value != "a":
				s.Errorf("the value is %q, want what was proclaimed", value)
			case err != nil && (!s.Form.Hurried || !errors.Is(err, session.ErrUnknownOutcome)):
				s.Errorf("Proclaim = %v", err)
			}
			if err := term.Proclaim(s.Context(), "b"); err != nil {
				s.Errorf("Proclaim again = %v", err)
			}
			s.Reach(answers.Got)
			if value := s.state().Leader.Value; value != "b" {
				s.Errorf("the value is %q: a late request has undone a later one", value)
			}
			s.holds(term)
			s.resign(term)
			s.end()
		}),
		"Leader and Candidates": withSessions(func(s *subject) {
			term := s.leads(s.rival)
			s.Call(func(ctx context.Context) {
				in, err := election.Leader(ctx, s.Client, "x")
				all, err2 := election.Candidates(ctx, s.Client, "x")
				if err := errors.Join(err, err2); err != nil {
					if !errors.Is(err, session.ErrUnavailable) && !errors.Is(err, context.Canceled) {
						s.Errorf("%v", err)
					}
				} else if in.Term != term.Token() || len(all) > 0 {
					s.Errorf("Leader = %+v, Candidates = %+v", in, all)
				}
			})
			s.resign(term)
			s.end()
		}),
		"Drain": withSessions(func(s *subject) {
			term := s.leads(s.session)
			_, won := s.candidate(s.rival)
			var err error
			s.Call(func(ctx context.Context) { err = election.Drain(ctx, s.session) })
			if err != nil && (!s.Form.Hurried || !errors.Is(err, session.ErrUnknownOutcome)) {
				s.Errorf("Drain = %v", err)
			}
			if err := term.Err(); !errors.Is(err, election.ErrDrained) {
				s.Errorf("Err() = %v, want ErrDrained", err)
			}
			next := s.next(won)
			s.Reach(answers.Got)
			s.holds(next)
			s.resign(next)
			s.end()
		}),
	}
}

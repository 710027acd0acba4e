package demo

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/fx"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/server"
)

// stage is what there is to play on.
type stage struct {
	fx.In

	Screen  *screen
	Server  *server.Server
	Client  *clientv3.Client
	Crew    *crew
	Gate    *gate
	Ledgers *ledgers
}

// play is the scenario: who has the lock, who is stopped and killed, and what the observer makes of it.
type play struct {
	stage

	a, b, c *process
	paused  time.Time // when a was
	// The tokens of the holds, in the order in which they come: a's, b's, c's and a's again.
	tokens [4]fencing.Token
	claims []claim
}

func (p *play) run(ctx context.Context) error {
	for _, act := range []struct {
		heading string
		play    func(context.Context) error
	}{
		{"", p.setUp},
		{"1. A worker is stopped between its look at the lock and its write", p.pauseHolder},
		{"2. The next in line takes the lock over, once A's lease has run out", p.takeOver},
		{"3. The stopped one goes on where it stood", p.writeLate},
		{"4. A hand-over, as it should be", p.handOver},
		{"5. A crash", p.crash},
		{"What stands in the ledgers, as an observer read them", p.judge},
	} {
		if act.heading != "" {
			p.Screen.heading(act.heading)
		}
		if err := act.play(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) setUp(ctx context.Context) (err error) {
	p.Screen.show(Event{Event: eventServing, Text: "an etcd server runs in this process, for the demo only: " + p.Server.Endpoints()[0]})
	for i, w := range []**process{&p.a, &p.b, &p.c} {
		if *w, err = p.Crew.start(ctx, string(rune('A'+i))); err != nil {
			return err
		}
	}
	for _, w := range []*process{p.a, p.b, p.c} {
		p.by(w, Event{Event: eventStarted, Text: fmt.Sprintf("is a worker process, pid %d", w.pid())})
	}
	return nil
}

// by shows an event of a worker's.
func (s stage) by(w *process, e Event) {
	e.Worker, e.PID = w.name, w.pid()
	s.Screen.show(e)
}

func (p *play) pauseHolder(ctx context.Context) error {
	holds, err := p.a.ask(ctx, tellWork, sayHolds)
	if err != nil {
		return err
	}
	p.tokens[0] = holds.Token
	p.by(p.a, Event{Event: eventHolds, Token: holds.Token, Text: "holds the lock, with token " + holds.Token.String()})
	if err := p.write(ctx, p.a, holds.Token); err != nil {
		return err
	}
	if err := p.queue(ctx, p.b, p.c); err != nil {
		return err
	}
	if _, err := p.a.ask(ctx, tellWrite, sayChecked); err != nil {
		return err
	}
	p.by(p.a, Event{Event: eventChecked, Token: holds.Token, Text: "looks once more: the lock is its own. It is about to write its next line ..."})
	p.paused = time.Now()
	if err := p.a.pause(); err != nil {
		return err
	}
	p.by(p.a, Event{Event: eventPaused, Text: fmt.Sprintf("... and is stopped (SIGSTOP), for longer than the %v that its lease lives", ttl)})
	return nil
}

// queue has workers wait for the lock, one behind the other.
func (p *play) queue(ctx context.Context, workers ...*process) error {
	for _, w := range workers {
		if err := w.tell(tellWork); err != nil {
			return err
		}
		if err := p.inLine(ctx, w); err != nil {
			return err
		}
		p.by(w, Event{Event: eventWaits, Text: "waits for the lock"})
	}
	return nil
}

// inLine waits until etcd has w as the last in line.
func (p *play) inLine(ctx context.Context, w *process) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := lock.Inspect(ctx, p.Client, lockName)
		if err != nil {
			return err
		}
		if n := len(state.Waiters); n > 0 && state.Waiters[n-1].PID == w.pid() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("worker %s did not get in line: %w", w.name, context.Cause(ctx))
		}
	}
}

// holds waits until w has the lock, and has the observer ask etcd whether that is so.
func (p *play) holds(ctx context.Context, w *process, n int) (fencing.Token, time.Time, error) {
	r, err := w.wait(ctx, sayHolds)
	if err != nil {
		return fencing.Token{}, time.Time{}, err
	}
	p.tokens[n] = r.Token
	state, err := lock.Inspect(ctx, p.Client, lockName)
	if err != nil {
		return fencing.Token{}, time.Time{}, err
	}
	seen := state.Holder != nil && state.Holder.PID == w.pid() && state.Holder.Token == r.Token && r.Token.Compare(p.tokens[n-1]) > 0
	p.claim(seen, "etcd says that %s holds the lock, with token %s, above %s", w.name, r.Token, p.tokens[n-1])
	return r.Token, r.at, nil
}

// write has w append a line, and the observer look for it.
func (p *play) write(ctx context.Context, w *process, token fencing.Token) error {
	if _, err := w.ask(ctx, tellWrite, sayChecked); err != nil {
		return err
	}
	if _, err := w.ask(ctx, tellGo, sayWrote); err != nil {
		return err
	}
	plain, fenced, err := p.read()
	if err != nil {
		return err
	}
	where := "both ledgers"
	switch ok := [2]bool{count(plain, token) == 1, count(fenced, token) == 1}; ok {
	case [2]bool{true, false}:
		where = "the plain ledger alone"
	case [2]bool{false, true}:
		where = "the fenced ledger alone"
	case [2]bool{false, false}:
		where = "neither ledger"
	}
	p.by(w, Event{Event: eventWrote, Token: token, Text: "writes a line, which is now in " + where})
	p.claim(where == "both ledgers", "%s's line of token %s is in both ledgers", w.name, token)
	return nil
}

func (p *play) takeOver(ctx context.Context) error {
	token, at, err := p.holds(ctx, p.b, 1)
	if err != nil {
		return err
	}
	took := at.Sub(p.paused)
	p.by(p.b, Event{Event: eventTakenOver, Token: token, Millis: millis(took), Text: fmt.Sprintf("holds the lock, with token %s, %s after A was stopped", token, short(took))})
	return p.write(ctx, p.b, token)
}

func (p *play) writeLate(ctx context.Context) error {
	if err := p.a.tell(tellGo); err != nil { // it reads this when it goes on
		return err
	}
	p.by(p.a, Event{Event: eventResumed, Text: "goes on (SIGCONT). It doesn't know that any time has passed: it writes"})
	if err := p.a.resume(); err != nil {
		return err
	}
	r, err := p.a.wait(ctx, sayWrote)
	if err != nil {
		return err
	}
	if err := p.showLate(r); err != nil {
		return err
	}
	if _, err := p.a.wait(ctx, sayLost); err != nil {
		return err
	}
	p.by(p.a, Event{Event: eventLost, Token: p.tokens[0], Text: "learns that its hold is lost. It writes no more, and gets in line again"})
	return p.queue(ctx, p.a)
}

// showLate tells where the late line is: the observer's word for the ledgers, the gate's for what it refused.
func (p *play) showLate(r report) error {
	plain, _, err := p.read()
	if err != nil {
		return err
	}
	if late, ok := lateLine(plain); ok {
		p.by(p.a, Event{Event: eventLate, Token: late.Token, Ledger: "plain", Line: &late, Text: fmt.Sprintf("the plain ledger takes it: a line of token %s after one of token %s. It is corrupt now", late.Token, p.tokens[1])})
	}
	if refused := r.Refused; refused != nil {
		text := fmt.Sprintf("the fenced ledger refuses it: it has seen token %s, and %s is older", refused.Seen, refused.Presented)
		p.by(p.a, Event{Event: eventRefused, Token: refused.Presented, Seen: refused.Seen, Ledger: "fenced", Text: text})
		return nil
	}
	p.by(p.a, Event{Event: eventNotRefused, Token: r.Token, Ledger: "fenced", Text: "the fenced ledger takes it, too"})
	return nil
}

func (p *play) handOver(ctx context.Context) error {
	began := time.Now()
	if err := p.b.tell(tellRelease); err != nil {
		return err
	}
	token, at, err := p.holds(ctx, p.c, 2)
	if err != nil {
		return err
	}
	p.by(p.b, Event{Event: eventReleased, Token: p.tokens[1], Text: "gives the lock back"})
	took := at.Sub(began)
	p.by(p.c, Event{Event: eventHandedOver, Token: token, Millis: millis(took), Text: fmt.Sprintf("holds it, with token %s, %s later", token, short(took))})
	return p.write(ctx, p.c, token)
}

func (p *play) crash(ctx context.Context) error {
	began := time.Now()
	if err := p.c.kill(); err != nil {
		return err
	}
	p.by(p.c, Event{Event: eventKilled, Token: p.tokens[2], Text: "is killed (kill -9) while it holds the lock"})
	token, at, err := p.holds(ctx, p.a, 3)
	if err != nil {
		return err
	}
	took := at.Sub(began)
	p.by(p.a, Event{Event: eventRecovered, Token: token, Millis: millis(took), Text: fmt.Sprintf("holds it, with token %s, %s later: C's lease had to run out", token, short(took))})
	if err := p.write(ctx, p.a, token); err != nil {
		return err
	}
	_, err = p.a.ask(ctx, tellRelease, sayReleased)
	return err
}

// count is how many lines were written under the token.
func count(entries []Entry, token fencing.Token) (n int) {
	for _, e := range entries {
		if e.Token == token {
			n++
		}
	}
	return n
}

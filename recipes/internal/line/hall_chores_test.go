package line

// background adds what is done for an acquisition that was given up.
func (x hallWalk) background(v visit[hall], i int) {
	c := &v.world.guests[i].chore
	of := func(g *guest, op int8) message {
		c := &g.chore
		return message{op: op, id: c.id, num: c.num, who: int8(i), epoch: g.epoch, reads: !c.writes, token: c.token, unmark: c.mark}
	}
	switch c.stage {
	case cResolving:
		x.try(v, i, "resolves in the background", func(h *hall, g *guest) bool {
			switch c := &g.chore; {
			case c.finds(h):
			case h.entries[c.id].state == stands:
				c.stage = cLeaving
			default:
				if !x.noVoid {
					h.void |= 1 << c.id
				}
				g.left()
			}
			return true
		})
	case cLeaving:
		x.send(v, i, "leaves", func(_ *hall, g *guest) (message, bool) { return of(g, hLeave), true },
			func(_ *hall, g *guest, ok bool) {
				if c := &g.chore; ok && !c.doubt || x.noLook {
					g.left()
				} else {
					c.stage = cLooking
				}
			}, func(g *guest) { g.chore.doubt = true })
	case cLooking:
		x.try(v, i, "looks for its place", func(h *hall, g *guest) bool {
			if !g.chore.finds(h) {
				g.left()
			}
			return true
		})
	case cReleasing:
		x.send(v, i, "gives its place back", func(_ *hall, g *guest) (message, bool) { return of(g, hRelease), true },
			func(_ *hall, g *guest, _ bool) { g.left() }, func(*guest) {})
	case cDropping:
		x.send(v, i, "drops", func(_ *hall, g *guest) (message, bool) {
			m := of(g, hDrop)
			m.token = g.chore.exchange
			return m, true
		}, func(h *hall, g *guest, ok bool) {
			if ok || x.dropForgets || !g.chore.finds(h) {
				g.left()
			}
		}, func(*guest) {})
	}
}

// finds looks for the place, and goes on to give it back.
func (c *chore) finds(h *hall) bool {
	s, writes, ok := h.place(c.id)
	if ok {
		c.stage, c.token, c.writes, c.mark = cReleasing, s.rev, writes, h.entries[c.id].state == marked
	}
	return ok
}

// left ends what the background does, and sets the number free.
func (g *guest) left() {
	if g.chore.num != 0 {
		g.taken &^= 1 << (g.chore.num - 1)
	}
	g.chore = chore{}
}

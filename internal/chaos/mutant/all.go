package mutant

const (
	keepDir = "recipes/internal/keep/"
	lineDir = "recipes/internal/line/"
	lockDir = "recipes/lock/"
	rwDir   = "recipes/rwlock/"
	semDir  = "recipes/semaphore/internal/slots/"
	elecDir = "recipes/election/"
)

// All are the mutants there are.
var All = []Mutant{
	{Name: "trust counts from the answer", Edits: []Edit{{
		keepDir + "lease.go",
		"l.until = max(l.until, sent.boot+ttl-l.keeper.cfg.Margin)",
		"l.until = max(l.until, at.boot+ttl)",
	}}},
	{Name: "own entry not looked at after the wait", Edits: []Edit{
		{lineDir + "wait.go", "case ev.Kv.ModRevision <= e.rev:", "case true:"},
		{lineDir + "wait.go", "if own == nil || own.ModRevision != e.rev {", "if false {"},
		{lineDir + "search.go", "if kv == nil || kv.ModRevision != e.rev {", "if false {"},
	}},
	{Name: "release by name", Edits: []Edit{{
		lineDir + "leave.go",
		"own := []clientv3.Cmp{e.Key().Is()}",
		"var own []clientv3.Cmp",
	}}},
	{Name: "one id for all acquisitions of a session", Edits: []Edit{
		{lineDir + "join.go", "\"github.com/google/uuid\"\n", "\n"},
		{lineDir + "join.go", "id: uuid.NewString()", "id: fmt.Sprintf(\"%x\", int64(lease.ID()))"},
	}},
	{Name: "guard by the create revision", Edits: []Edit{{
		keepDir + "watch.go",
		"clientv3.Compare(clientv3.ModRevision(k.Name), \"=\", k.Rev)",
		"clientv3.Compare(clientv3.CreateRevision(k.Name), \"=\", k.Rev)",
	}}},
	{Name: "waiter trusts the watch alone", Edits: []Edit{{
		lineDir + "wait.go",
		"if left, err := e.look(ctx, one(resp, 0), one(resp, 1)); left || err != nil {",
		"if _ = resp; false {",
	}}},
	{Name: "watchdog in the goroutine that renews", Edits: []Edit{
		{keepDir + "lease.go", "	l.keeper.spawn(l.watchdog)\n", ""},
		{keepDir + "renew.go", "switch err := l.renewOnce(l.ctx); {", "l.inspect()\n		switch err := l.renewOnce(l.ctx); {"},
		{keepDir + "renew.go", "min(requestTimeout, l.granted()/(2*renewals))", "requestTimeout"},
	}},
	{Name: "cleaning up without bounds", Edits: []Edit{{
		keepDir + "request.go",
		"time.AfterFunc(k.cfg.Cleanup,",
		"time.AfterFunc(time.Hour,",
	}}},
	{Name: "token from the last answer", Edits: []Edit{
		{lockDir + "lock.go", "fencing.FromRevision(key.Rev)", "fencing.FromRevision(latest(ctx, c, key))"},
		{lockDir + "lock.go", "// take makes", `func latest(ctx context.Context, c *calls.Call, key keep.Key) int64 {
	resp, err := c.Keeper.Get(ctx, key.Name)
	if err != nil {
		return key.Rev
	}
	return resp.Header.Revision
}

// take makes`},
	}},
	{Name: "acquired anew in silence after a loss", Edits: []Edit{{
		lockDir + "lock.go", "import (\n", "import (\n\t\"errors\"\n",
	}, {
		lockDir + "lock.go",
		"	return &Held{h}, nil\n",
		`	held := &Held{h}
	go func() {
		for err == nil {
			<-h.Context().Done()
			if !errors.Is(context.Cause(h.Context()), session.ErrLost) {
				return
			}
			if h, err = calls.Hand(context.WithoutCancel(ctx), s, kind, name, get); err == nil {
				held.Hold = h
			}
		}
	}()
	return held, nil
`,
	}}},
	{Name: "a loss that is taken back", Edits: []Edit{
		{keepDir + "lease.go", "if why := l.outlived(at); why != nil {", "if why := l.outlived(at); why != nil && false {"},
		{keepDir + "lease.go", "if late == nil && sent.jumped(at)", "if sent.jumped(at)"},
		{keepDir + "lease.go", "	if late != nil {\n", "	if late != nil && false {\n"},
		{keepDir + "hold.go", "	if errors.Is(err, ErrLost) {\n		h.lease.lose(err)\n", "	if false {\n		h.lease.lose(err)\n"},
		{keepDir + "renew.go", "if why := l.outlived(sent); why != nil {", "if why := l.outlived(sent); why != nil && false {"},
	}},
	{Name: "a join without an answer is not made void", Edits: []Edit{{
		lineDir + "join.go",
		"void := clientv3.OpPut(ln.voided(e.id), \"\", clientv3.WithLease(e.lease.ID()))",
		"void := clientv3.OpGet(ln.voided(e.id))",
	}}},
	{Name: "gone is taken for passed", Edits: []Edit{{
		lineDir + "wait.go",
		"if m.State == passed {",
		"if m.State == passed || m.State == gone {",
	}}},
	{Name: "tail removed although the predecessor is unknown", Edits: []Edit{{
		lineDir + "leave.go",
		"return e.ifLast([]clientv3.Op{left}, []clientv3.Op{left})",
		"return e.ifLast([]clientv3.Op{clientv3.OpDelete(e.line.tail()), clientv3.OpDelete(e.key())}, []clientv3.Op{left})",
	}}},
	{Name: "a deleted predecessor is taken for one that passed", Edits: []Edit{{
		lineDir + "wait.go",
		"	if kv == nil {\n		return\n	}\n",
		"	if kv == nil {\n		e.head = true\n		return\n	}\n",
	}}},
	{Name: "a reader that does not mind a writer", Edits: []Edit{
		{rwDir + "want.go", "free := view.Get(writerPlace) == nil && view.Get(r.place) == nil", "free := view.Get(r.place) == nil"},
		{
			rwDir + "want.go",
			"		clientv3.Compare(clientv3.CreateRevision(g.Key(writerPlace)), \"=\", 0),\n		clientv3.Compare(clientv3.CreateRevision(g.Key(r.place)), \"=\", 0),\n",
			"		clientv3.Compare(clientv3.CreateRevision(g.Key(r.place)), \"=\", 0),\n",
		},
	}},
	{Name: "a writer that does not mind readers", Edits: []Edit{
		{rwDir + "want.go", "free := view.Get(writerPlace) == nil && !view.Any(readerPlaces)", "free := view.Get(writerPlace) == nil"},
		{rwDir + "want.go", "		clientv3.Compare(clientv3.CreateRevision(g.Key(readerPlaces)), \"=\", 0).WithPrefix(),\n", ""},
	}},
	{Name: "a downgrade in two transactions", Edits: []Edit{{
		lineDir + "release.go",
		"		resp, err := e.line.keeper.Txn(ctx, []clientv3.Cmp{old.Is(), absent(g.Key(name))}, then,",
		"		if _, err := e.line.keeper.Txn(ctx, []clientv3.Cmp{old.Is()}, then[:1], nil); err != nil {\n			return err\n		}\n" +
			"		resp, err := e.line.keeper.Txn(ctx, []clientv3.Cmp{absent(g.Key(name))}, then[1:],",
	}}},
	{Name: "what is free is taken, whoever waits for it", Edits: []Edit{{
		lineDir + "ask.go",
		"op := clientv3.OpTxn([]clientv3.Cmp{absent(e.line.tail())}, []clientv3.Op{want",
		"op := clientv3.OpTxn(nil, []clientv3.Op{want",
	}}},
	{Name: "several lines are joined one after the other", Edits: []Edit{
		{
			lineDir + "all.go",
			"		resp, err := lines[0].keeper.Txn(ctx, append(ifs, absent(lines[0].voided(e.id))), then, nil)\n" +
				"		if err != nil || !resp.Succeeded {\n			return false, err\n		}\n		for i, e := range s.entries {\n" +
				"			e.joinedBy(&clientv3.TxnResponse{Header: resp.Header, Responses: resp.Responses[i].GetResponseTxn().Responses})\n",
			"		for i, e := range s.entries {\n			resp, err := lines[0].keeper.Txn(ctx, ifs[i:i+1], then[i:i+1], nil)\n" +
				"			if err != nil || !resp.Succeeded {\n				return false, err\n			}\n" +
				"			e.joinedBy(&clientv3.TxnResponse{Header: resp.Header, Responses: resp.Responses[0].GetResponseTxn().Responses})\n",
		},
		{lineDir + "all.go", "		e.rev = s.entries[0].rev\n", "		_ = e\n"},
	}},
	{Name: "of several locks those got first are not looked at again", Edits: []Edit{{
		lineDir + "all.go",
		"	if !waited {\n",
		"	if waited || !waited {\n",
	}}},
	{Name: "a free slot is one to be had, whatever the limit was", Edits: []Edit{
		{semDir + "want.go", "	ifs := []clientv3.Cmp{free(g, lookName), sane(g)}\n", "	ifs := []clientv3.Cmp{sane(g)}\n"},
		{semDir + "want.go", "if h.taken+w.N > rec.Limit || len(names) < w.N {", "if len(names) < w.N {"},
	}},
	{Name: "a limit that was lowered is not said to be", Edits: []Edit{{
		semDir + "write.go",
		"[]clientv3.Op{clientv3.OpDelete(look)}, []clientv3.Op{clientv3.OpPut(look, \"\")})}",
		"[]clientv3.Op{clientv3.OpDelete(look)}, []clientv3.Op{clientv3.OpDelete(look)})}",
	}}},
	{Name: "leadership is given away under the work", Edits: []Edit{{
		elecDir + "term.go",
		"	if t.run != nil {\n		session.End(t.Hold, session.ErrReleased)\n		return nil\n	}\n	return t.Hold.Release(ctx)\n",
		"	return t.Hold.Release(ctx)\n",
	}, {
		keepDir + "hold.go", "	if joined {\n", "	if joined && false {\n",
	}}},
	{Name: "observers are told what was not so yet", Edits: []Edit{{
		elecDir + "observe.go",
		"Revision: part.Rev}",
		"Revision: part.Rev - 1}",
	}}},
	{Name: "leadership is handed over by who does not lead", Edits: []Edit{{
		lineDir + "handover.go",
		"ifs, then := []clientv3.Cmp{place.Is()}, e.unmark()",
		"ifs, then := []clientv3.Cmp(nil), e.unmark()",
	}}},
}

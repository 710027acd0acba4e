// Package answers is for the tests of recipes: it loses the answer of each request that a call sends, one in turn, in each form that a lost
// answer has. What must hold afterwards is for the recipe's test to say.
//
//	answers.Each(t, map[string]func(*answers.Case){
//		"Acquire": func(c *answers.Case) {
//			s := open(c)                       // nothing is lost yet
//			var held *lock.Held
//			var err error
//			c.Call(func(ctx context.Context) { held, err = lock.Acquire(ctx, s, "x") })
//			…                                  // check what came of it
//			c.Reach(answers.Got)               // it may be now that a late request arrives
//			…
//			c.NothingLeft()
//		},
//	})
package answers

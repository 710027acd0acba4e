package server_test

import (
	"context"
	"fmt"

	"github.com/stile-dev/stile/server"
)

func Example() {
	ctx := context.Background()
	s, err := server.Start(ctx, server.Config{
		Temporary:  true,                           // DataDir: "/var/lib/stile" keeps the data
		ClientURLs: []string{"http://127.0.0.1:0"}, // a free port: see s.Endpoints()
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(ctx)

	if _, err := s.Client().Put(ctx, "greeting", "hello"); err != nil {
		fmt.Println(err)
		return
	}
	resp, err := s.Client().Get(ctx, "greeting")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(resp.Kvs[0].Value))
	// Output: hello
}

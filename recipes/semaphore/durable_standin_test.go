package semaphore_test

import (
	"testing"

	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

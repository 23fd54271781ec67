// Package busyport shows what an example does when its port is taken.
package busyport

import (
	"net"
	"os"
	"strings"
	"testing"
)

// Test calls each run with an address that is in use already, in an empty folder. The
// error must name the address and say what to do, and nothing may be printed before it:
// who is sent to an address finds the other program there.
func Test(t *testing.T, runs ...func(busy string) error) {
	t.Helper()
	t.Chdir(t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	printed, err := os.Create("printed")
	if err != nil {
		t.Fatal(err)
	}
	defer printed.Close()
	stdout := os.Stdout
	os.Stdout = printed
	defer func() { os.Stdout = stdout }()
	busy := l.Addr().String()
	for _, run := range runs {
		if err := run(busy); err == nil || !strings.Contains(err.Error(), busy) || !strings.Contains(err.Error(), "stop the program") {
			t.Errorf("the error is %v", err)
		}
	}
	if said, err := os.ReadFile("printed"); err != nil || len(said) > 0 {
		t.Errorf("it prints %q, %v", said, err)
	}
}

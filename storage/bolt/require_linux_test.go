package bolt

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// missing skips a test for what this machine lacks. Where the whole suite is asked for it
// fails instead, so that nothing is left out silently, unless the kernel forbids it: no
// script can install that.
func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("DOORWARD_REQUIRE") != "" && !errors.Is(err, syscall.EPERM) {
		t.Fatal(err)
	}
	t.Skip(err)
}

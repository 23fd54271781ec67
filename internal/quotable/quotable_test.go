package quotable_test

import (
	"testing"

	"github.com/doorward/doorward/internal/quotable"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"The scope 'notes' is not known.", "The scope 'notes' is not known."},
		{" !#[]~", " !#[]~"},
		{`a", error="b`, "a', error='b"},
		{`C:\notes`, "C:/notes"},
		{"a\r\nSet-Cookie: b", "a??Set-Cookie: b"},
		{"\x00\t\x7f", "???"},
		{"für", "f?r"},
		{"\xff", "?"},
	} {
		if got := quotable.Text(c.in); got != c.want {
			t.Errorf("%q became %q, want %q", c.in, got, c.want)
		}
	}
}

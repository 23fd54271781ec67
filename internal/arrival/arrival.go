// Package arrival bounds the time in which the body of a request arrives, where the server
// that it came to does not: one byte a minute would otherwise hold a connection, and who
// reads from it, for ever. RFC 9110 §15.5.9
package arrival

import (
	"errors"
	"net/http"
	"os"
	"time"
)

// Within gives the body of r a time to arrive, unless its server has a ReadTimeout, which
// may be shorter. A read behind it fails so that Late is true of the error, and the
// connection ends with the answer. Once the body has been read net/http forgets the time.
// Below a ResponseWriter that hides the connection nothing is bounded.
func Within(w http.ResponseWriter, r *http.Request, atMost time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok || server.ReadTimeout > 0 {
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(atMost)) // a writer that can't is as before
}

// Late says whether a body did not arrive in time, by Within or by its server.
func Late(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

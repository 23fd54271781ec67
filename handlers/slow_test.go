package handlers

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/doorward/doorward/internal/pipe"
)

// A host's own server may have no time-outs at all, as http.ListenAndServe has none: a body
// that never comes still ends, with an answer that says why, also where nobody would have
// read it. RFC 9110 §15.5.9
func TestSlowBodiesInABareServer(t *testing.T) {
	w := newWorld(t, options{})
	for name, c := range map[string]struct {
		head string
		want int
	}{
		"a form":                {"POST /oauth/token HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n", http.StatusRequestTimeout},
		"what is of no use":     {"GET /oauth/jwks HTTP/1.1\r\n", http.StatusOK},
		"for another method":    {"DELETE /oauth/token HTTP/1.1\r\n", http.StatusMethodNotAllowed},
		"of another media type": {"POST /oauth/token HTTP/1.1\r\nContent-Type: application/json\r\n", http.StatusUnsupportedMediaType},
		"of a page":             {"POST /oauth/interaction/x HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\n", http.StatusRequestTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := pipe.Listen()
			web := &http.Server{Handler: w.mux}
			ended := make(chan error, 1)
			go func() { ended <- web.Serve(l) }()
			client, _, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := io.WriteString(client, c.head+"Host: id.example\r\nContent-Length: 100\r\n\r\nx=y"); err != nil {
				t.Fatal(err)
			}
			reader := bufio.NewReader(client)
			answer, err := http.ReadResponse(reader, nil)
			if err != nil || answer.StatusCode != c.want || time.Since(began) > bodyTime {
				t.Fatalf("%s: after %v: %v, %v", name, time.Since(began), answer, err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil || c.want == http.StatusRequestTimeout && !strings.Contains(string(body), "did not arrive in time") {
				t.Errorf("%s: %v\n%s", name, err, body)
			}
			if _, err := reader.ReadByte(); err != io.EOF {
				t.Errorf("%s: the connection is not closed: %v", name, err)
			}
			_ = web.Close()
			<-ended
		})
	}
	if said := w.logged(); strings.Count(said, "reason=body_late") != 2 {
		t.Errorf("the log says:\n%s", said)
	}
}

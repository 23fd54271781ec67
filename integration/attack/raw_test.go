package attack

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// wire sends bytes as they are, and returns every answer that comes on the connection. The
// first may take long on a busy machine, unless the server waits for more: it is told that
// there is none. Nothing is expected after a while of silence any more.
func (s *stage) wire(text string) []*answer {
	s.t.Helper()
	var conn net.Conn
	var err error
	address := s.listener.Listener.Addr().String()
	if strings.HasPrefix(s.issuer, "https") {
		config := s.listener.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		config.NextProtos = []string{"http/1.1"}
		config.ServerName = "example.com"
		conn, err = tls.Dial("tcp", address, config)
	} else {
		conn, err = net.Dial("tcp", address)
	}
	if err != nil {
		s.t.Error(err)
		return nil
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Minute))
	go func() { _, _ = io.WriteString(conn, text) }() // an answer may come before all was sent
	var answers []*answer
	reader := bufio.NewReader(conn)
	patience := time.Minute
	nothingMore := time.AfterFunc(5*time.Second, func() { _ = conn.(interface{ CloseWrite() error }).CloseWrite() })
	defer nothingMore.Stop()
	for len(answers) < 4 {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		got, err := http.ReadResponse(reader, nil)
		if err != nil {
			break
		}
		body, _ := io.ReadAll(got.Body)
		a := &answer{status: got.StatusCode, header: got.Header, body: body}
		answers = append(answers, a)
		patience = 2 * time.Second
	}
	return answers
}

// rawAttacks are on the bytes of HTTP itself. RFC 9112 §6, §9.3, WB-58
func rawAttacks() []attack {
	const body = "grant_type=client_credentials&scope=notes:read&client_id=web&client_secret=" + secretOfWeb
	form := "Content-Type: " + formType + "\r\n"
	ask := func(head, body string) string {
		return "POST /oauth/token HTTP/1.1\r\nHost: id.test\r\n" + form + head + "\r\n" + body
	}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	smuggled := "GET /oauth/jwks HTTP/1.1\r\nHost: id.test\r\n\r\n"
	attacks := map[string]string{
		"CL and TE":                   ask(length+"Transfer-Encoding: chunked\r\n", chunked+smuggled),
		"TE and CL":                   ask("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunked+smuggled),
		"TE alone":                    ask("Transfer-Encoding: chunked\r\n", chunked+smuggled),
		"two CL":                      ask(length+"Content-Length: 0\r\n", body+smuggled),
		"CL with a list":              ask(fmt.Sprintf("Content-Length: %d, 0\r\n", len(body)), body+smuggled),
		"CL with a sign":              ask(fmt.Sprintf("Content-Length: +%d\r\n", len(body)), body+smuggled),
		"CL in hex":                   ask(fmt.Sprintf("Content-Length: 0x%x\r\n", len(body)), body),
		"CL negative":                 ask("Content-Length: -1\r\n", body),
		"CL huge":                     ask("Content-Length: 99999999999999999999\r\n", body),
		"TE xchunked":                 ask("Transfer-Encoding: xchunked\r\n"+length, body+smuggled),
		"TE with a tab":               ask("Transfer-Encoding:\tchunked\r\n"+length, chunked+smuggled),
		"TE before the colon":         ask("Transfer-Encoding : chunked\r\n"+length, chunked+smuggled),
		"TE twice":                    ask("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunked+smuggled),
		"TE chunked, identity":        ask("Transfer-Encoding: chunked, identity\r\n"+length, chunked+smuggled),
		"a bad chunk":                 ask("Transfer-Encoding: chunked\r\n", "zz\r\n"+body+"\r\n0\r\n\r\n"),
		"obs-fold":                    ask(length+"X-A: b\r\n Transfer-Encoding: chunked\r\n", chunked+smuggled),
		"bare LF in a header":         ask(length+"X-A: b\nX-Injected: 1\rX-B: c\r\n", body),
		"NUL in a header":             ask(length+"X-A: b\x00c\r\n", body),
		"a name with a space":         ask(length+"X A: b\r\n", body),
		"an empty name":               ask(length+": b\r\n", body),
		"huge headers":                ask(length+"X-A: "+strings.Repeat("a", 2<<20)+"\r\n", body),
		"many headers":                ask(length+strings.Repeat("X-A: b\r\n", 200000), body),
		"no host":                     "POST /oauth/token HTTP/1.1\r\n" + form + length + "\r\n" + body,
		"two hosts":                   ask(length+"Host: evil.test\r\n", body),
		"a host that is none":         strings.Replace(ask(length, body), "id.test", "id.test/evil", 1),
		"a target with a NUL":         "GET /oauth/jwks\x00 HTTP/1.1\r\nHost: id.test\r\n\r\n",
		"a target with a space":       "GET /oauth/ jwks HTTP/1.1\r\nHost: id.test\r\n\r\n",
		"a target that is no path":    "GET oauth/jwks HTTP/1.1\r\nHost: id.test\r\n\r\n",
		"a target with a bad escape":  "GET /oauth/%zz HTTP/1.1\r\nHost: id.test\r\n\r\n",
		"an asterisk":                 "GET * HTTP/1.1\r\nHost: id.test\r\n\r\n",
		"CONNECT":                     "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
		"a method that is none":       "G\x00T /oauth/jwks HTTP/1.1\r\nHost: id.test\r\n\r\n",
		"a version that is none":      "GET /oauth/jwks HTTP/9.9\r\nHost: id.test\r\n\r\n",
		"HTTP/0.9":                    "GET /oauth/jwks\r\n\r\n",
		"the preface of HTTP/2":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"garbage":                     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"a body in a GET, smuggled":   fmt.Sprintf("GET /oauth/nothing HTTP/1.1\r\nHost: id.test\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", len(smuggled), smuggled),
		"an absolute target":          "GET http://evil.test/oauth/nothing HTTP/1.1\r\nHost: id.test\r\n\r\n",
		"credentials in the target":   "GET http://evil@id.test/oauth/nothing HTTP/1.1\r\nHost: id.test\r\n\r\n",
		"upgrade to another protocol": ask(length+"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-Stop: 1\r\n", strings.ReplaceAll(body, "client_credentials", "x")),
	}
	return []attack{{id: "WB-58", name: "bytes that two readers read differently open nothing", play: func(p *play) {
		for _, good := range []string{ask(length+"Connection: close\r\n", body), ask(length, body)} {
			answers := p.wire(good)
			if len(answers) != 1 {
				p.t.Fatalf("%d answers to an honest request", len(answers))
			}
			answers[0].at = p.home()
			p.control("an honest request", answers[0], gives("access_token"))
		}
		pipelined := p.wire(smuggled + smuggled)
		if len(pipelined) != 2 || pipelined[1].status != http.StatusOK {
			p.t.Errorf("two honest requests on one connection got %d answers", len(pipelined))
		}
		got := make(map[string][]*answer, len(attacks))
		var all sync.WaitGroup
		var mu sync.Mutex
		for name, text := range attacks {
			all.Go(func() { // most of the time they wait for nothing to come
				answers := p.wire(text)
				mu.Lock()
				defer mu.Unlock()
				got[name] = answers
			})
		}
		all.Wait()
		for name, answers := range got {
			for i, a := range answers {
				a.at = p.home()
				if a.status != http.StatusNotImplemented && a.status != http.StatusHTTPVersionNotSupported { // said by net/http itself
					p.inspect(&request{}, a)
				}
				p.judge(fmt.Sprintf("%s, answer %d", name, i+1), a, func(a *answer) error {
					if a.status < 400 {
						return fmt.Errorf("it was served: %d", a.status)
					}
					return noTokens(a)
				})
			}
		}
	}}}
}

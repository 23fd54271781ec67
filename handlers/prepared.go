package handlers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// prepared is an answer that is the same for everybody and may be kept for some time. All
// of it is made once, the values of its headers too.
type prepared struct {
	body []byte
	life time.Duration
	tag  string

	media, cache, etag, length []string
}

func prepare(media string, body []byte, life time.Duration) *prepared {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return &prepared{
		body: body, life: life, tag: tag, media: []string{media}, etag: []string{tag},
		cache: []string{fmt.Sprintf("public, max-age=%d", int(life.Seconds()))}, length: []string{strconv.Itoa(len(body))},
	}
}

// write answers with it, or says that who asks has it already. RFC 9110 §13.1.2
func (p *prepared) write(w http.ResponseWriter, r *http.Request) {
	p.answer(w, r, p.headers(w.Header(), r))
}

// headers sets those of the answer and returns its status.
func (p *prepared) headers(header http.Header, r *http.Request) (status int) {
	header["Content-Type"], header["Cache-Control"], header["Etag"] = p.media, p.cache, p.etag
	if p.known(r.Header.Get("If-None-Match")) {
		return http.StatusNotModified
	}
	header["Content-Length"] = p.length
	return http.StatusOK
}

func (p *prepared) answer(w http.ResponseWriter, r *http.Request, status int) {
	w.WriteHeader(status)
	if status == http.StatusOK && r.Method != http.MethodHead {
		_, _ = w.Write(p.body) // the peer is gone: there is nobody to tell
	}
}

// known says whether an If-None-Match names what would be sent.
func (p *prepared) known(tags string) bool {
	if tags == "" {
		return false
	}
	for tag := range strings.SplitSeq(tags, ",") {
		if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == p.tag || tag == "*" {
			return true
		}
	}
	return false
}

// servePrepared serves p where nothing stands against it, and says whether it did. Nothing
// can fail on this way, so nothing is held back, and nobody asks which request it is for.
// All else is for serve.
func servePrepared(w http.ResponseWriter, r *http.Request, rule *rule, p *prepared) bool {
	header := w.Header()
	if len(header) > 0 || r.ContentLength != 0 || rule.judge(r) != nil { // a body has to be bounded
		return false
	}
	commonHeaders(header, requestID(r.Context()), noReferrer)
	header["Access-Control-Allow-Origin"] = everybody
	status := p.headers(header, r)
	own(header)
	p.answer(w, r, status)
	return true
}

// latest is the prepared form of a body that changes now and then.
type latest struct{ made atomic.Pointer[prepared] }

func (l *latest) of(media string, body []byte, life time.Duration) *prepared {
	p := l.made.Load()
	if p == nil || p.life != life || !bytes.Equal(p.body, body) {
		p = prepare(media, body, life)
		l.made.Store(p)
	}
	return p
}

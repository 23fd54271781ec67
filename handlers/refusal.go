package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/dpop"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/quotable"
	"github.com/doorward/doorward/internal/redact"
	"github.com/doorward/doorward/storage"
)

// failed is a refusal that is the server's own fault.
func failed(reason string, cause error) *engine.Error {
	return &engine.Error{
		Code: "server_error", Reason: reason, Status: http.StatusInternalServerError,
		Description: "Something went wrong in the server. Its log has the details.", Cause: cause,
	}
}

// storeFailed is the refusal for an error of the store. RFC 9110 §15.6.4
func storeFailed(cause error) *engine.Error {
	if known := (*engine.Error)(nil); errors.As(cause, &known) {
		return known
	}
	if errors.Is(cause, context.DeadlineExceeded) || errors.Is(cause, context.Canceled) {
		return &engine.Error{
			Code: "temporarily_unavailable", Reason: "deadline", Status: http.StatusServiceUnavailable,
			Description: "The request took too long. Try again.", RetryAfter: 2 * time.Second, Cause: cause,
		}
	}
	if !errors.Is(cause, storage.ErrUnavailable) {
		return failed("internal", cause)
	}
	return &engine.Error{
		Code: "temporarily_unavailable", Reason: "store_unavailable", Status: http.StatusServiceUnavailable,
		Description: "The server can not store or read its state at the moment. Try again shortly.",
		RetryAfter:  2 * time.Second, Cause: cause,
	}
}

// refuse answers a request that is refused, as a page or as JSON, and writes its
// one line to the log.
func (h *Handlers) refuse(w http.ResponseWriter, r *http.Request, e *engine.Error) {
	x := exchangeOf(r.Context())
	h.record(r.Context(), e)
	if x.rule.page && !x.script {
		h.refusePage(w, r, e)
		return
	}
	h.refuseJSON(w, e)
}

// refuseSilently tells the client what a request with prompt=none ended in, the server's
// own failures too: such a request runs in a hidden frame, where a page is read by nobody
// and the client would wait. false: the client can't be told. OpenID Connect Core §3.1.2.1
func (h *Handlers) refuseSilently(out *response, r *http.Request, e *engine.Error) (told bool) {
	a := exchangeOf(r.Context()).silent
	if a == nil {
		return false
	}
	kept := out.header.Clone()
	defer func() {
		if cause := recover(); cause != nil { // what panicked before may do so again
			h.logPanic(r, cause)
		}
		if !told {
			out.reset()
			maps.Copy(out.header, kept)
		}
	}()
	if failure := h.answerClient(out, r, h.engine.Refuse(a, e), a.Client.ID); failure != nil {
		return false
	}
	h.record(r.Context(), e)
	return true
}

// silently notes a request that was checked as far as its redirect URI, when it has
// prompt=none.
func (x *exchange) silently(a *engine.Authorization) {
	if a != nil && a.RedirectURI != "" && a.Client != nil && slices.Contains(a.Prompt, "none") {
		x.silent = a
	}
}

// record writes the one line of a refusal. What the request said may be a secret in
// the wrong place.
func (h *Handlers) record(ctx context.Context, e *engine.Error) {
	attrs := append(h.logAttrs(exchangeOf(ctx)),
		slog.String("code", e.Code), slog.String("reason", e.Reason), slog.String("description", redact.Text(e.Description)))
	if e.Detail != "" {
		attrs = append(attrs, slog.String("detail", redact.Text(e.Detail)))
	}
	if e.Setting != "" {
		attrs = append(attrs, slog.String("setting", e.Setting))
	}
	if e.Cause != nil {
		attrs = append(attrs, slog.String("err", redact.Text(e.Cause.Error())))
	}
	level := slog.LevelInfo
	if e.Code == "authorization_pending" { // every few seconds, of every device that waits
		level = slog.LevelDebug
	}
	if e.Reason != "busy" && (e.Status >= http.StatusInternalServerError || e.Code == "server_error") {
		level = slog.LevelError
	}
	h.log.LogAttrs(ctx, level, "request refused", attrs...)
}

// refuseJSON is the one place where a wire error is written. RFC 6749 §5.2, RFC 6750 §3
func (h *Handlers) refuseJSON(w http.ResponseWriter, e *engine.Error) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Pragma", "no-cache")
	if e.RetryAfter > 0 {
		header.Set("Retry-After", retryAfter(e.RetryAfter))
	}
	if e.Challenge != "" {
		header.Set("WWW-Authenticate", h.challenge(e))
		if e.Reason == "token_missing" {
			header.Add("WWW-Authenticate", proofChallenge("", ""))
		}
	}
	giveNonce(w, e.Nonce)
	body := map[string]string{"error": e.Code, "error_uri": h.engine.ErrorURI(e)}
	if e.Description != "" {
		body["error_description"] = quotable.Text(e.Description)
	}
	w.WriteHeader(statusOf(e))
	_ = json.NewEncoder(w).Encode(body) // a response held back never fails
}

// challenge is the WWW-Authenticate header. A request without any token is told
// the scheme alone. RFC 6750 §3.1
func (h *Handlers) challenge(e *engine.Error) string {
	if e.Challenge == dpop.Scheme {
		return proofChallenge(e.Code, e.Description)
	}
	c := e.Challenge + ` realm="` + quotable.Text(h.config.Issuer) + `"`
	if e.Challenge == "Bearer" && e.Reason != "token_missing" && e.Reason != "initial_token_missing" {
		c += `, error="` + e.Code + `", error_description="` + quotable.Text(e.Description) + `"`
	}
	return c
}

func statusOf(e *engine.Error) int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}

func retryAfter(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

// refusePage is the one place where an error page is made.
func (h *Handlers) refusePage(w http.ResponseWriter, r *http.Request, e *engine.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(e.RetryAfter))
	}
	page := h.errorPage(r, e)
	if h.config.Development {
		page.Detail = developerText(e)
	}
	h.show(w, r, statusOf(e), page)
}

// developerText is what a page tells on a loopback issuer.
func developerText(e *engine.Error) string {
	lines := []string{e.Code + " (" + e.Reason + ")"}
	if e.Detail != "" {
		lines = append(lines, e.Detail)
	}
	if e.Setting != "" {
		lines = append(lines, "Setting: "+e.Setting)
	}
	if e.Cause != nil {
		lines = append(lines, e.Cause.Error())
	}
	return strings.Join(lines, "\n")
}

// show answers with a page.
func (h *Handlers) show(w http.ResponseWriter, r *http.Request, status int, p pages.Page) {
	if err := h.pages.Serve(w, status, h.words(r), h.path("assets"), p); err != nil {
		x := exchangeOf(r.Context())
		h.log.LogAttrs(r.Context(), slog.LevelError, "a page failed", append(h.logAttrs(x), slog.String("err", err.Error()))...)
		http.Error(w, "Something went wrong. Request ID "+x.id, http.StatusInternalServerError)
	}
}

// answerJSON answers with a JSON object that must not be stored.
func answerJSON(w http.ResponseWriter, body map[string]any) *engine.Error {
	encoded, err := appendObject(make([]byte, 0, 512), body)
	if err != nil {
		return failed("encode", err)
	}
	answerUnstored(w.Header(), mediaJSON)
	give(w, append(encoded, '\n'))
	return nil
}

// give answers with bytes that the caller lets go of.
func give(w http.ResponseWriter, body []byte) {
	out, held := w.(*response)
	if !held || out.written() {
		_, _ = w.Write(body) // the peer is gone: there is nobody to tell
		return
	}
	out.WriteHeader(http.StatusOK)
	out.body = body
}

// answerJWT answers with a signed token.
func answerJWT(w http.ResponseWriter, media, token string) *engine.Error {
	answerUnstored(w.Header(), []string{media})
	_, _ = w.Write([]byte(token)) // a response held back never fails
	return nil
}

func answerUnstored(header http.Header, media []string) {
	header["Content-Type"], header["Cache-Control"], header["Pragma"] = media, noStore, noCache
}

package handlers

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// deviceCookie holds the secret of a browser in which user codes are typed. A code
// belongs to the browser that typed it first.
const deviceCookie = "device"

// DeviceView is where a request of a device came from that has no browser of its own.
// Who asked may be anywhere, and anybody can send a link: the person should compare.
// RFC 8628 §5.4
type DeviceView struct {
	Address   string // IP address, empty when unknown
	UserAgent string // what its software calls itself, cleaned; empty when it says nothing
}

// deviceClaim is the request of a device that an interaction is about.
type deviceClaim struct {
	ID      string `json:"id"`
	Browser []byte `json:"browser"`
	Denied  bool   `json:"denied,omitempty"` // what the person answered, once it is done
}

func claimOf(a *engine.Authorization) *deviceClaim {
	if a.Device == nil {
		return nil
	}
	return &deviceClaim{ID: a.Device.ID, Browser: a.Device.Browser}
}

// deviceAuthorization gives a device its codes. RFC 8628 §3.1, §3.2
func (h *Handlers) deviceAuthorization(w http.ResponseWriter, r *http.Request) *engine.Error {
	c, form, e := h.authenticated(r)
	if e != nil {
		return e
	}
	request := engine.DeviceRequest{Credentials: c, Form: form, Agent: readable(clipped(r.UserAgent(), maxAgent), 120)}
	if from := h.clientAddr(r); from.IsValid() {
		request.Address = from.String()
	}
	if c.Method == storage.AuthMethodNone { // others proved who they are, and are few
		if e := h.mayBegin(r); e != nil {
			return e
		}
	}
	answer, e := h.engine.BeginDevice(r.Context(), request)
	if e != nil {
		return e
	}
	place := h.origin + h.path("device")
	return answerJSON(w, map[string]any{
		"device_code": answer.DeviceCode, "user_code": answer.UserCode,
		"verification_uri": place, "verification_uri_complete": place + "?user_code=" + url.QueryEscape(answer.UserCode),
		"expires_in": int64(answer.ExpiresIn / time.Second), "interval": int64(answer.Interval / time.Second),
	})
}

// device is the page on which a user code is typed. A link that brings the code
// fills it in and does nothing else. RFC 8628 §3.3, §3.3.1
func (h *Handlers) device(w http.ResponseWriter, r *http.Request) *engine.Error {
	if r.Method != http.MethodPost {
		h.showDevice(w, r, http.StatusOK, r.URL.Query().Get("user_code"), "")
		return nil
	}
	if e := h.sameSite(r); e != nil {
		return e
	}
	if e := formType(r); e != nil {
		return e
	}
	body, e := readBody(r)
	if e != nil {
		return e
	}
	code := strings.TrimSpace(formField(r, body, "user_code"))
	if code == "" {
		h.showDevice(w, r, http.StatusUnprocessableEntity, "", h.words(r).Say("device.empty"))
		return nil
	}
	guess, e := h.guessCode(r)
	if e != nil {
		return e
	}
	if guess == nil {
		h.slowDevice(w, r, code)
		return nil
	}
	defer guess.end()
	return h.claimDevice(w, r, code, guess)
}

// claimDevice binds the code to this browser and begins the interaction in which the
// person signs in and answers, in one commit.
func (h *Handlers) claimDevice(w http.ResponseWriter, r *http.Request, code string, guess *codeGuess) *engine.Error {
	browser := h.cookies.read(r, deviceCookie)
	if browser == "" {
		browser = newSecret()
	}
	var rec *record
	var id, secret string
	err := h.store.Do(r.Context(), func(ctx context.Context) error {
		a, e := h.engine.ClaimDevice(ctx, code, secretHash(browser))
		if e != nil {
			return e
		}
		rec, id, secret = h.newRecord(nil, a.Client.ID, stepStart)
		rec.Device = claimOf(a)
		return h.records.Insert(ctx, rec)
	})
	if err != nil {
		e := storeFailed(err)
		if e.Reason != "user_code_unknown" {
			return e
		}
		h.record(r.Context(), e)
		if err := guess.wrong(r.Context()); err != nil {
			return storeFailed(err)
		}
		h.showDevice(w, r, http.StatusUnprocessableEntity, code, h.words(r).Say("device.unknown"))
		return nil
	}
	exchangeOf(r.Context()).clientID = rec.ClientID
	life := h.config.Lifetimes.Interaction + restartLife
	http.SetCookie(w, h.cookies.cookie(deviceCookie, browser, life))
	h.cookies.setInteraction(w, r, id, secret, life)
	redirect(w, h.path("interaction/"+id))
	return nil
}

func (h *Handlers) showDevice(w http.ResponseWriter, r *http.Request, status int, code, problem string) {
	const most = 20
	h.show(w, r, status, pages.Device{Form: pages.Form{Action: h.path("device")}, Code: readable(code, most), Error: problem})
}

func (h *Handlers) slowDevice(w http.ResponseWriter, r *http.Request, code string) {
	h.record(r.Context(), &engine.Error{
		Code: "invalid_request", Reason: "user_code_slowed", Status: http.StatusTooManyRequests,
		Description: "There were too many wrong codes.", Detail: "address " + h.clientAddr(r).String(),
	})
	w.Header().Set("Retry-After", retryAfter(guessWindow))
	minutes := int(guessWindow / time.Minute)
	h.showDevice(w, r, http.StatusTooManyRequests, code, h.words(r).Say("device.slow", "n", minutes))
}

// recheck checks the request of an interaction once more.
func (h *Handlers) recheck(ctx context.Context, rec *record) (*engine.Authorization, *engine.Error) {
	if rec.Device != nil {
		return h.engine.CheckDevice(ctx, rec.Device.ID, rec.Device.Browser)
	}
	if rec.Account != "" {
		return h.ownRequest(), nil
	}
	return h.engine.ResumeAuthorize(ctx, rec.params())
}

// consentFor returns who asks the person. For a device it is always the built-in page:
// one that does not say where the request came from would serve those who send links.
func (h *Handlers) consentFor(in *Interaction) Consent {
	if in.Device != nil {
		return ConsentFunc(serveDeviceConsent)
	}
	return h.consent
}

func serveDeviceConsent(w http.ResponseWriter, r *http.Request, in *Interaction) {
	if answered(w, r, in) {
		return
	}
	page := pages.DeviceConsent{
		Form: pages.Form{Action: in.Action}, Client: in.pageClient(r), Account: in.Subject.account(),
		Address: in.Device.Address, UserAgent: in.Device.UserAgent,
	}
	page.Scopes, page.Offline = in.h.pageScopes(r, in.Scopes)
	in.h.show(w, r, http.StatusOK, page)
}

// approveDevice is the end of an interaction for a device, in the unit of work of ctx.
// It is not remembered: the next device is asked for again.
func (h *Handlers) approveDevice(ctx context.Context, in *Interaction, rec *record, scopes []string) (outcome, error) {
	if e := h.engine.ApproveDevice(ctx, in.a, approvalOf(in.a, rec.Subject, scopes)); e != nil {
		return outcome{}, e
	}
	rec.Step = stepDone
	return outcome{Place: h.path("interaction/" + in.ID)}, nil
}

// denyDevice tells the device that the person declined. Any other failure is not an
// answer: the person may try again.
func (h *Handlers) denyDevice(ctx context.Context, in *Interaction, rec *record, why *engine.Error) (outcome, error) {
	if why.Code != "access_denied" {
		return outcome{}, why
	}
	if e := h.engine.DenyDevice(ctx, in.a); e != nil {
		return outcome{}, e
	}
	rec.Step, rec.Device.Denied = stepDone, true
	return outcome{Place: h.path("interaction/" + in.ID)}, nil
}

// deviceDone tells the person to go back to their device.
func (h *Handlers) deviceDone(w http.ResponseWriter, r *http.Request, rec *record) {
	h.show(w, r, http.StatusOK, pages.DeviceDone{Client: h.clientName(r, rec.ClientID), Denied: rec.Device.Denied})
}

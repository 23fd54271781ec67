package engine

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	devicePrefix = "dwd_"
	// userLetters are the letters of user codes: no vowels, so that no words come
	// about, and no digits, so that none of them is taken for one. RFC 8628 §6.1
	//
	// Eight of 20 letters are 34.5 bits. With a thousand codes waiting, a guess meets
	// one of them once in 25 million tries, while an address has 50 wrong ones in a
	// quarter of an hour, and a code lives for ten minutes.
	userLetters    = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength = 8
	lookupSize     = 18 // of storage.Store.Lookup
)

// device is what a device asked for that has no browser, from then on until it has
// its tokens. It stands under the lookup form of its user code, which its device code
// names, so both ways to it are one read. RFC 8628
type device struct {
	ID          string   `json:"-"`
	Hash        []byte   `json:"hash"` // of the device code
	ClientID    string   `json:"client_id"`
	Incarnation string   `json:"incarnation,omitempty"` // of the client
	Scopes      []string `json:"scopes,omitempty"`
	Audience    []string `json:"aud,omitempty"`

	// Address and Agent are where the request came from, for the person to compare.
	Address string `json:"address,omitempty"`
	Agent   string `json:"agent,omitempty"`

	// Browser is the secret hash of the browser in which the user code was typed.
	Browser []byte `json:"browser,omitempty"`
	Denied  bool   `json:"denied,omitempty"`
	Grant   string `json:"grant,omitempty"` // what the person approved

	ExpiresAt time.Time `json:"expires_at"`
	UsedAt    time.Time `json:"used_at,omitzero"`
}

// SetKey implements storage.Keyed.
func (d *device) SetKey(id string) { d.ID = id }

func devices(s *storage.Store) *storage.Collection[device] {
	return storage.Collect(s, "device", 1, func(d *device) storage.Meta {
		return storage.Meta{ID: d.ID, Expiry: d.ExpiresAt.Add(grantMargin)}
	})
}

// decided says whether the person has answered.
func (d *device) decided() bool { return d.Denied || d.Grant != "" }

// over says whether the codes have expired.
func (d *device) over(now time.Time) bool { return !now.Before(d.ExpiresAt) }

// DeviceRequest is a request to the device authorization endpoint, its Form without
// the credentials. RFC 8628 §3.1
type DeviceRequest struct {
	Credentials    Credentials
	Form           url.Values
	Address, Agent string // where it came from, fit to be shown
}

// DeviceResponse is its answer. RFC 8628 §3.2
type DeviceResponse struct {
	DeviceCode string
	UserCode   string // as it is shown: XXXX-XXXX
	ExpiresIn  time.Duration
	Interval   time.Duration // between two polls, at least
}

// BeginDevice gives a device its two codes, in one commit.
func (e *Engine) BeginDevice(ctx context.Context, r DeviceRequest) (*DeviceResponse, *Error) {
	form, twice := parameters(r.Form)
	if refusal := wellFormed(form, twice); refusal != nil {
		return nil, refusal
	}
	var response *DeviceResponse
	err := e.guarded(ctx, "device", func() error {
		return e.store.Do(ctx, func(ctx context.Context) error {
			if err := e.store.Load(ctx, e.config.ClientRef(r.Credentials.ClientID), e.assertionRef(r.Credentials)); err != nil {
				return err
			}
			c, err := e.authenticate(ctx, r.Credentials)
			if err != nil {
				return err
			}
			response, err = e.beginDevice(ctx, c, form, r)
			return err
		})
	})
	if err != nil {
		return nil, failure(err)
	}
	return response, nil
}

func (e *Engine) beginDevice(ctx context.Context, c *storage.Client, form url.Values, r DeviceRequest) (*DeviceResponse, error) {
	if !c.MayUse(storage.GrantDeviceCode) {
		return nil, deviceNotAllowed(c)
	}
	scopes, audience, refusal := e.asked(c, form)
	if refusal != nil {
		return nil, refusal
	}
	user := newUserCode()
	id := e.deviceID(user)
	code, err := newDeviceCode(id)
	if err != nil {
		return nil, err
	}
	life := e.config.Lifetimes.DeviceCode
	d := &device{
		ID: id, Hash: []byte(codeHash(code)), ClientID: c.ID, Incarnation: c.Incarnation, Scopes: scopes, Audience: audience,
		Address: r.Address, Agent: r.Agent, ExpiresAt: e.store.Now().Add(life),
	}
	// A user code that is taken makes the unit of work run again, with another one.
	if err := e.devices.Insert(ctx, d); err != nil {
		return nil, err
	}
	return &DeviceResponse{
		DeviceCode: code, UserCode: user[:userCodeLength/2] + "-" + user[userCodeLength/2:],
		ExpiresIn: life, Interval: pollInterval,
	}, nil
}

func deviceNotAllowed(c *storage.Client) *Error {
	return refuse(codeUnauthorized, "grant_type_not_allowed", "The client is not registered for the grant_type "+quote(storage.GrantDeviceCode)+".").
		detail("it is registered for %q", c.Grants()).setting("grant_types")
}

// newUserCode draws letters, each as likely as the others.
func newUserCode() string {
	const fair = 256 - 256%len(userLetters)
	code := make([]byte, 0, userCodeLength)
	for len(code) < userCodeLength {
		if b := int(opaque.Random(1)[0]); b < fair {
			code = append(code, userLetters[b%len(userLetters)])
		}
	}
	return string(code)
}

// plainUserCode returns a user code as it was made, whatever case, dashes and spaces
// it was typed with; "" when it can be none.
func plainUserCode(typed string) string {
	code := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '.' || r == '_' || r >= '\u2010' && r <= '\u2015' { // dashes that keyboards make
			return -1
		}
		return r
	}, strings.ToUpper(strings.TrimSpace(typed)))
	if len(code) != userCodeLength || strings.Trim(code, userLetters) != "" {
		return ""
	}
	return code
}

func (e *Engine) deviceID(userCode string) string { return e.store.Lookup("user code", userCode) }

// newDeviceCode makes a code that names its record and carries 256 bits.
func newDeviceCode(id string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) != lookupSize {
		return "", errors.New("engine: a device without an ID")
	}
	return devicePrefix + base64.RawURLEncoding.EncodeToString(append(raw, opaque.Random(secretSize)...)), nil
}

// parseDeviceCode returns the ID of the record that a device code names.
func parseDeviceCode(code string) (id string, ok bool) {
	raw, ok := decode(devicePrefix, code, lookupSize+secretSize)
	if !ok {
		return "", false
	}
	return base64.RawURLEncoding.EncodeToString(raw[:lookupSize]), true
}

// redeemDevice judges a poll of a device. Only the right client gets to know what
// became of the code. RFC 8628 §3.4, §3.5
func (e *Engine) redeemDevice(ctx context.Context, c *storage.Client, form url.Values) (*issuance, error) {
	code := form.Get("device_code")
	if code == "" {
		return nil, missing("device_code")
	}
	d, err := e.deviceOfCode(ctx, code)
	if err != nil {
		return nil, err
	}
	now := e.store.Now()
	switch {
	case d.ClientID != c.ID || d.Incarnation != c.Incarnation:
		return nil, errDevice("device_code_other_client").detail("the code was issued to %s", quote(d.ClientID))
	case !d.UsedAt.IsZero():
		return nil, errDevice("device_code_used").detail("grant %s: used at %s", d.Grant, d.UsedAt.Format(time.RFC3339Nano))
	case d.Denied:
		return nil, refuse(codeDenied, "device_denied", "The person declined the request.")
	case d.over(now):
		return nil, refuse(codeExpired, "device_code_expired", "The device code has expired: ask for a new one.").
			detail("it ended at %s", d.ExpiresAt.Format(time.RFC3339))
	case d.Grant == "":
		return nil, e.pending(ctx, d, now)
	}
	return e.redeemedDevice(ctx, c, d, form, now)
}

func (e *Engine) deviceOfCode(ctx context.Context, code string) (*device, error) {
	id, ok := parseDeviceCode(code)
	if !ok {
		return nil, errDevice("device_code_unknown").detail("it does not have the form of a device code of this server")
	}
	d, err := e.devices.Get(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, errDevice("device_code_unknown").detail("it was never issued, or ended long ago")
	case err != nil:
		return nil, err
	case !hmac.Equal(d.Hash, []byte(codeHash(code))):
		return nil, errDevice("device_code_unknown").detail("the record has another code")
	}
	return d, nil
}

// redeemedDevice marks the code as used, which of polls that come together only one
// can write.
func (e *Engine) redeemedDevice(ctx context.Context, c *storage.Client, d *device, form url.Values, now time.Time) (*issuance, error) {
	g, err := e.grants.Get(ctx, d.Grant)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, errDevice("device_code_unknown").detail("grant %s is gone", d.Grant)
	case err != nil:
		return nil, err
	}
	if reason, err := e.standing(ctx, g, c); err != nil || reason != "" {
		return nil, orError(err, errDevice(reason).detail("grant %s, revoked for %q", g.ID, g.RevokedReason))
	}
	scopes, audience, refusal := e.stillAllowed(c, g)
	if refusal != nil {
		return nil, refusal
	}
	if audience, refusal = e.target(form, audience); refusal != nil {
		return nil, refusal
	}
	i := &issuance{client: c, grant: g, scopes: scopes, audience: audience, event: EventTokenIssued}
	d.UsedAt, g.ExpiresAt = now, e.endOfGrant(now)
	if c.MayUse(storage.GrantRefreshToken) {
		i.refresh = e.startChain(g, now)
	}
	i.keep = func(ctx context.Context) error {
		if err := e.devices.Put(ctx, d); err != nil {
			return err
		}
		return e.grants.Put(ctx, g)
	}
	return i, nil
}

// errDevice is the refusal of a device code; what exactly is wrong only the log is
// told.
func errDevice(reason string) *Error {
	return refuse(codeInvalidGrant, reason, "The device code is unknown, used or revoked, or belongs to another client.").secret()
}

// Device is where a request came from that a person answers for another device.
type Device struct {
	ID             string
	Browser        []byte // hash of the secret of the browser that it is bound to
	Address, Agent string
}

// ClaimDevice binds the request of a user code to a browser, in the unit of work of
// ctx, and returns it. What another browser has claimed, has been answered or has
// expired is not told apart from a code that never was. RFC 8628 §5.1
func (e *Engine) ClaimDevice(ctx context.Context, typed string, browser []byte) (*Authorization, *Error) {
	var a *Authorization
	err := e.store.Do(ctx, func(ctx context.Context) error {
		code := plainUserCode(typed)
		if code == "" {
			return errUserCode().detail("it does not have the form of a user code")
		}
		d, err := e.devices.Get(ctx, e.deviceID(code))
		switch {
		case errors.Is(err, storage.ErrNotFound):
			return errUserCode().detail("there is no such code")
		case err != nil:
			return err
		case d.decided() || d.over(e.store.Now()):
			return errUserCode().detail("client %s: the code was answered or has expired", quote(d.ClientID))
		case len(d.Browser) > 0 && !hmac.Equal(d.Browser, browser):
			return errUserCode().detail("client %s: the code was claimed in another browser", quote(d.ClientID))
		}
		if a, err = e.authorizationOf(ctx, d); err != nil || len(d.Browser) > 0 {
			return err
		}
		d.Browser = slices.Clone(browser)
		a.Device.Browser = d.Browser
		return e.devices.Put(ctx, d)
	})
	if err != nil {
		return nil, failure(err)
	}
	return a, nil
}

// errUserCode says the same of every code that can't be used.
func errUserCode() *Error {
	return refuse(codeInvalidRequest, "user_code_unknown", "That code is not known, or it is no longer valid.")
}

// CheckDevice returns a claimed request again while it waits for its answer. The
// client may have changed, as with CheckAuthorize.
func (e *Engine) CheckDevice(ctx context.Context, id string, browser []byte) (*Authorization, *Error) {
	var a *Authorization
	err := e.guarded(ctx, "device", func() error {
		return e.store.Do(ctx, func(ctx context.Context) error {
			d, err := e.waiting(ctx, id, browser)
			if err == nil {
				a, err = e.authorizationOf(ctx, d)
			}
			return err
		})
	})
	if err != nil {
		return nil, failure(err)
	}
	return a, nil
}

// waiting returns a request that a browser has claimed and that has no answer yet.
func (e *Engine) waiting(ctx context.Context, id string, browser []byte) (*device, error) {
	d, err := e.devices.Get(ctx, id)
	switch {
	case errors.Is(err, storage.ErrNotFound) || err == nil && d.over(e.store.Now()):
		return nil, refuse(codeInvalidRequest, "device_request_expired", "The code has expired. Ask for a new one on your device.")
	case err != nil:
		return nil, err
	case len(browser) == 0 || !hmac.Equal(d.Browser, browser):
		return nil, refuse(codeInvalidRequest, "device_request_foreign", "This request belongs to another browser.")
	case d.decided():
		return nil, refuse(codeInvalidRequest, "device_request_answered", "This request has been answered already.")
	}
	return d, nil
}

// authorizationOf is what a device asked for, as far as its client may still have it.
func (e *Engine) authorizationOf(ctx context.Context, d *device) (*Authorization, error) {
	c, err := e.client(ctx, d.ClientID)
	switch {
	case errors.Is(err, storage.ErrNotFound) || err == nil && c.Incarnation != d.Incarnation:
		return nil, unknownClient("client_unknown", "The application that asked is not registered any more.").detail("client_id %s", quote(d.ClientID))
	case err != nil:
		return nil, err
	case c.Disabled:
		return nil, unknownClient("client_disabled", "This client is disabled.").detail("client_id %s", quote(d.ClientID)).setting("disabled")
	case !c.MayUse(storage.GrantDeviceCode):
		return nil, deviceNotAllowed(c)
	}
	scopes, audience, refusal := e.stillAllowed(c, &storage.Grant{Scopes: d.Scopes, Audience: d.Audience})
	if refusal != nil {
		return nil, refusal
	}
	return &Authorization{
		Client: c, Scopes: scopes, Audience: audience,
		Device: &Device{ID: d.ID, Browser: d.Browser, Address: d.Address, Agent: d.Agent},
	}, nil
}

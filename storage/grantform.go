package storage

var (
	_ formed = (*Grant)(nil)
	_ formed = (*AccessToken)(nil)
)

func (g *Grant) appendJSON(to []byte) (form []byte, ok bool) {
	w := jsonWriter{form: to}
	w.open()
	w.text("id", g.ID)
	w.text("client_id", g.ClientID)
	w.text("sub", g.Subject)
	w.listIfAny("scopes", g.Scopes)
	w.listIfAny("aud", g.Audience)
	w.textIfAny("sid", g.SessionID)
	w.timeIfAny("auth_time", g.AuthTime)
	w.textIfAny("acr", g.ACR)
	w.listIfAny("amr", g.AMR)
	w.textIfAny("org", g.Org)
	w.textIfAny("nonce", g.Nonce)
	if !g.Asked.IsZero() {
		w.other("asked", g.Asked)
	}
	w.textIfAny("pairwise_sub", g.PairwiseSubject)
	if g.Stamp != (Stamp{}) {
		w.field("stamp")
		w.open()
		w.numberIfAny("subject", g.Stamp.Subject)
		w.numberIfAny("app", g.Stamp.App)
		w.numberIfAny("session", g.Stamp.Session)
		w.textIfAny("incarnation", g.Stamp.Incarnation)
		w.close()
	}
	if g.Code != nil {
		w.field("code")
		g.Code.write(&w)
	}
	if g.Refresh != nil {
		w.field("refresh")
		g.Refresh.write(&w)
	}
	w.time("created_at", g.CreatedAt)
	w.time("expires_at", g.ExpiresAt)
	w.timeIfAny("revoked_at", g.RevokedAt)
	w.textIfAny("revoked_reason", g.RevokedReason)
	w.close()
	return w.form, !w.odd
}

func (c *Code) write(w *jsonWriter) {
	w.open()
	w.bytes("hash", c.Hash)
	w.time("expires_at", c.ExpiresAt)
	w.text("redirect_uri", c.RedirectURI)
	w.yes("uri_sent", c.URISent)
	w.textIfAny("challenge", c.Challenge)
	w.odd = w.odd || c.WrongTries < 0
	w.numberIfAny("wrong_tries", uint64(c.WrongTries))
	w.timeIfAny("used_at", c.UsedAt)
	w.yes("killed", c.Killed)
	w.textIfAny("dpop_jkt", c.JKT)
	w.close()
}

func (f *Refresh) write(w *jsonWriter) {
	w.open()
	w.number("generation", uint64(f.Generation))
	w.bytes("head", f.Head)
	w.bytesIfAny("previous", f.Previous)
	w.bytesIfAny("salt", f.Salt)
	w.timeIfAny("rotated_at", f.RotatedAt)
	w.timeIfAny("rotated_before", f.RotatedBefore)
	w.time("issued_at", f.IssuedAt)
	w.time("idle_end", f.IdleEnd)
	w.time("end", f.End)
	w.yes("offline", f.Offline)
	f.Bound.writeIfAny(w)
	w.close()
}

func (c Confirmation) writeIfAny(w *jsonWriter) {
	if c == (Confirmation{}) {
		return
	}
	w.field("cnf")
	w.open()
	w.textIfAny("jkt", c.JKT)
	w.textIfAny("x5t#S256", c.X5T)
	w.close()
}

// parseJSON leaves a grant whose claims were asked for one by one to encoding/json.
func (g *Grant) parseJSON(form []byte) (ok bool) {
	r, v := jsonReader{rest: form}, Grant{}
	r.open()
	r.text("id", &v.ID)
	r.text("client_id", &v.ClientID)
	r.text("sub", &v.Subject)
	r.list("scopes", &v.Scopes)
	r.list("aud", &v.Audience)
	r.text("sid", &v.SessionID)
	r.time("auth_time", &v.AuthTime)
	r.text("acr", &v.ACR)
	r.list("amr", &v.AMR)
	r.text("org", &v.Org)
	r.text("nonce", &v.Nonce)
	r.text("pairwise_sub", &v.PairwiseSubject)
	if r.field("stamp") {
		r.open()
		v.Stamp.Subject = r.number("subject", 64)
		v.Stamp.App = r.number("app", 64)
		v.Stamp.Session = r.number("session", 64)
		r.text("incarnation", &v.Stamp.Incarnation)
		r.close()
	}
	if r.field("code") {
		v.Code = &Code{}
		v.Code.read(&r)
	}
	if r.field("refresh") {
		v.Refresh = &Refresh{}
		v.Refresh.read(&r)
	}
	r.time("created_at", &v.CreatedAt)
	r.time("expires_at", &v.ExpiresAt)
	r.time("revoked_at", &v.RevokedAt)
	r.text("revoked_reason", &v.RevokedReason)
	r.close()
	if ok = r.ended(); ok {
		*g = v
	}
	return ok
}

func (c *Code) read(r *jsonReader) {
	r.open()
	r.bytes("hash", &c.Hash)
	r.time("expires_at", &c.ExpiresAt)
	r.text("redirect_uri", &c.RedirectURI)
	r.yes("uri_sent", &c.URISent)
	r.text("challenge", &c.Challenge)
	c.WrongTries = int(r.number("wrong_tries", 31))
	r.time("used_at", &c.UsedAt)
	r.yes("killed", &c.Killed)
	r.text("dpop_jkt", &c.JKT)
	r.close()
}

func (f *Refresh) read(r *jsonReader) {
	r.open()
	f.Generation = uint32(r.number("generation", 32))
	r.bytes("head", &f.Head)
	r.bytes("previous", &f.Previous)
	r.bytes("salt", &f.Salt)
	r.time("rotated_at", &f.RotatedAt)
	r.time("rotated_before", &f.RotatedBefore)
	r.time("issued_at", &f.IssuedAt)
	r.time("idle_end", &f.IdleEnd)
	r.time("end", &f.End)
	r.yes("offline", &f.Offline)
	f.Bound.read(r)
	r.close()
}

func (c *Confirmation) read(r *jsonReader) {
	if r.field("cnf") {
		r.open()
		r.text("jkt", &c.JKT)
		r.text("x5t#S256", &c.X5T)
		r.close()
	}
}

func (t *AccessToken) appendJSON(to []byte) (form []byte, ok bool) {
	w := jsonWriter{form: to}
	w.open()
	w.textIfAny("grant", t.Grant)
	w.text("client_id", t.ClientID)
	w.text("sub", t.Subject)
	w.textIfAny("sid", t.Session)
	w.listIfAny("scopes", t.Scopes)
	w.listIfAny("aud", t.Audience)
	if len(t.Claims) > 0 {
		w.other("claims", t.Claims)
	}
	t.Confirmation.writeIfAny(&w)
	w.textIfAny("incarnation", t.Incarnation)
	w.time("iat", t.IssuedAt)
	w.time("exp", t.ExpiresAt)
	w.close()
	return w.form, !w.odd
}

// parseJSON leaves a token with claims of the host's to encoding/json.
func (t *AccessToken) parseJSON(form []byte) (ok bool) {
	r, v := jsonReader{rest: form}, AccessToken{Key: t.Key}
	r.open()
	r.text("grant", &v.Grant)
	r.text("client_id", &v.ClientID)
	r.text("sub", &v.Subject)
	r.text("sid", &v.Session)
	r.list("scopes", &v.Scopes)
	r.list("aud", &v.Audience)
	v.Confirmation.read(&r)
	r.text("incarnation", &v.Incarnation)
	r.time("iat", &v.IssuedAt)
	r.time("exp", &v.ExpiresAt)
	r.close()
	if ok = r.ended(); ok {
		*t = v
	}
	return ok
}

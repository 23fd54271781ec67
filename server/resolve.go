package server

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/doorward/doorward/handlers"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// resolvedConfig is a Config that was checked, with every default filled in and
// everything derived that follows from it. Nothing is decided twice.
type resolvedConfig struct {
	Config
	site      site
	scopes    []Scope // openid and offline_access included
	registrar registrar
	name      string // of the product
	log       *slog.Logger
}

const (
	scopeOpenID  = "openid"
	scopeOffline = "offline_access"

	day  = 24 * time.Hour
	year = 365 * day
)

// resolve checks all that can be checked without the store.
func resolve(c Config) (*resolvedConfig, *problems) {
	found := &problems{}
	now := c.Clock // the store is not open yet
	if now == nil {
		now = time.Now
	}
	r := &resolvedConfig{Config: c, log: c.Logger}
	if r.log == nil {
		r.log = slog.Default()
	}
	r.site = resolveSite(c.Issuer, c.Prefix, found)
	if c.Store == nil {
		found.add("Store", "nothing", `open a database, as in bolt.Open("doorward.db")`)
	}
	judgeLogin(c.Login, found)
	r.Steps = slices.Clone(c.Steps)
	judgeSteps(c.Steps, found)
	if c.Accounts < 0 || c.Accounts > 5 {
		found.add("Accounts", fmt.Sprint(c.Accounts), "write how many people may be signed in in one browser, 1 to 5, or 0 for 1")
	}
	r.resolveFAPI2(found)
	r.resolveScopes(found)
	r.resolveLifetimes(found)
	r.resolveRefresh(found)
	r.resolveKeys(found)
	r.resolveMCP(found)
	r.resolveResources(found)
	if r.Limits.Logins < 0 {
		found.add("Limits.Logins", fmt.Sprint(r.Limits.Logins), "write the number of wrong passwords that are taken, or 0 for 10")
	}
	r.Limits.Logins = cmp.Or(r.Limits.Logins, 10)
	bounded("Limits.Hooks", &r.Limits.Hooks, 30*time.Second, 100*time.Millisecond, 10*time.Minute, found)
	if r.Limits.Begun < -1 {
		found.add("Limits.Begun", fmt.Sprint(r.Limits.Begun), "write how many sign-ins an address may begin in 10 minutes, 0 for 1000, or -1 for no limit")
	}
	r.Limits.Begun = cmp.Or(r.Limits.Begun, 1000)
	if r.Limits.Grants < -1 {
		found.add("Limits.Grants", fmt.Sprint(r.Limits.Grants), "write how often one person may sign in to one client in an hour, 0 for 1000, or -1 for no limit")
	}
	r.Limits.Grants = cmp.Or(r.Limits.Grants, 1000)
	r.checkSecrets(found)
	for i, p := range c.Proxies {
		switch {
		case p == (netip.Prefix{}) || !p.IsValid():
			found.add(index("Proxies", i), "no network", `write one, as in netip.MustParsePrefix("10.0.0.0/8")`)
		case p.Bits() == 0:
			found.add(index("Proxies", i), p.String()+", so that everybody could claim any address", "write the networks of your own proxies")
		}
	}
	r.Proxies = slices.Clone(c.Proxies)
	r.resolveMutualTLS(found)
	for i, h := range c.Insecure.FetchHosts {
		host, port, err := net.SplitHostPort(h)
		if _, number := strconv.ParseUint(port, 10, 16); err != nil || host == "" || number != nil {
			found.add(index("Insecure.FetchHosts", i), quoted(h), `write host and port, as in "keys.intranet.example:443"`)
		}
	}
	if r.name = cmp.Or(c.Pages.Name, r.site.host); strings.ContainsFunc(r.name, hidden) {
		found.add("Pages.Name", quoted(r.name)+", which has characters that are not seen", "write only what people can see")
	}
	judgeGrantTypes(c.DeviceGrant, c.Grants, found)
	r.Grants = slices.Clone(c.Grants)
	r.registrar = registrar{grants: grantTypes(r.DeviceGrant, r.Grants), scopes: r.scopeNames(), audiences: r.knownAudiences(), algorithms: r.Keys.Algorithms, certificates: r.MutualTLS.rules(), fapi: r.FAPI2, loopback: r.site.loopback, now: now}
	r.resolveRegistration(found)
	r.resolveClients(found)
	return r, found
}

// judgeLogin finds at start what would otherwise be found by the first person who
// signs in.
func judgeLogin(login handlers.Login, found *problems) {
	switch l := login.(type) {
	case nil:
		found.add("Login", "nothing", "set handlers.ExistingSession, handlers.PasswordLogin or a handlers.LoginFunc of your own")
	case *handlers.ExistingSession, *handlers.PasswordLogin:
		found.add("Login", fmt.Sprintf("a pointer (%T)", l), "write the value, without &")
	case handlers.LoginFunc:
		if l == nil {
			found.add("Login", "a LoginFunc that is nil", "give it a function")
		}
	case handlers.PasswordLogin:
		if l.Verify == nil {
			found.add("Login.Verify", "nothing", "set the function that judges a name and a password")
		}
	case handlers.ExistingSession:
		if l.CurrentUser == nil {
			found.add("Login.CurrentUser", "nothing", "set the function that says who is signed in")
		}
		u, err := url.Parse(l.LoginURL)
		switch {
		case l.LoginURL == "":
			found.add("Login.LoginURL", "nothing", `write where people sign in, as in "/login"`)
		case err != nil || u.Fragment != "" || u.Host == "" && !strings.HasPrefix(l.LoginURL, "/") || u.Host != "" && u.Scheme != "https" && !loopback(u.Hostname()):
			found.add("Login.LoginURL", quoted(l.LoginURL), `write a path or an https URL, as in "/login"`)
		}
	}
}

// judgeSteps finds steps that could not be served, or told apart.
func judgeSteps(steps []handlers.Step, found *problems) {
	odd := func(c rune) bool { return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') }
	for i, s := range steps {
		switch at := index("Steps", i); {
		case s.Name == "" || len(s.Name) > 40 || strings.ContainsFunc(s.Name, odd):
			found.add(at+".Name", quoted(s.Name), `write up to 40 small letters, digits and dashes, as in "terms"`)
		case slices.Contains([]string{"login", "consent", "select"}, s.Name):
			found.add(at+".Name", quoted(s.Name)+", which is a step of the server's", `write another, as in "terms"`)
		case slices.ContainsFunc(steps[:i], func(t handlers.Step) bool { return t.Name == s.Name }):
			found.add(at+".Name", quoted(s.Name)+" a second time", "give one of them another")
		}
		if s.Needed == nil {
			found.add(index("Steps", i)+".Needed", "nothing", "set the function that says whether the step is due")
		}
		if s.Serve == nil {
			found.add(index("Steps", i)+".Serve", "nothing", "set the function that serves the page of the step")
		}
	}
}

func (r *resolvedConfig) resolveScopes(found *problems) {
	for i, s := range r.Scopes {
		field := index("Scopes", i) + ".Name"
		switch {
		case s.Name == "":
			found.add(field, "nothing", `write the scope, as in "notes:read"`)
		case !scopeToken(s.Name):
			found.add(field, quoted(s.Name), `write visible ASCII without spaces, quotes and backslashes, as in "notes:read"`)
		case slices.ContainsFunc(r.Scopes[:i], func(t Scope) bool { return t.Name == s.Name }):
			found.add(field, quoted(s.Name)+" a second time", "leave it out")
		}
		if s.Optional && s.Name == scopeOpenID {
			found.add(index("Scopes", i)+".Optional", "true for openid", "leave it out: without openid it is no sign-in")
		}
	}
	r.scopes = slices.Clone(r.Scopes)
	for _, name := range []string{scopeOffline, scopeOpenID} {
		if !slices.ContainsFunc(r.scopes, func(s Scope) bool { return s.Name == name }) {
			r.scopes = slices.Insert(r.scopes, 0, Scope{Name: name})
		}
	}
}

// scopeToken says that s is a scope-token of RFC 6749 §3.3.
func scopeToken(s string) bool { return visible(s) && !strings.ContainsAny(s, `"\`) }

func (r *resolvedConfig) scopeNames() []string {
	names := make([]string, len(r.scopes))
	for i, s := range r.scopes {
		names[i] = s.Name
	}
	return names
}

// claimNames are the standard claims that the scopes release, if anybody is there to
// fill them in. OpenID Connect Core §5.4
func (r *resolvedConfig) claimNames() (names []string) {
	if r.Claims == nil {
		return nil
	}
	for _, s := range r.scopes {
		names = append(names, engine.ClaimsOf(s.Name)...)
	}
	return names
}

func (r *resolvedConfig) resolveLifetimes(found *problems) {
	l := &r.Lifetimes
	for _, life := range []struct {
		field          string
		value          *time.Duration
		otherwise, max time.Duration
	}{
		{"Code", &l.Code, time.Minute, 10 * time.Minute}, // RFC 6749 §4.1.2
		{"AccessToken", &l.AccessToken, time.Hour, 7 * day},
		{"JWTAccessToken", &l.JWTAccessToken, 10 * time.Minute, longestJWT},
		{"IDToken", &l.IDToken, time.Hour, 7 * day},
		{"DeviceCode", &l.DeviceCode, 10 * time.Minute, time.Hour},
		{"RefreshAbsolute", &l.RefreshAbsolute, 90 * day, 10 * year},
		{"RefreshIdle", &l.RefreshIdle, min(30*day, cmp.Or(l.RefreshAbsolute, 90*day)), 10 * year},
		{"PushedRequest", &l.PushedRequest, time.Minute, 10 * time.Minute}, // RFC 9126 §2.2
		{"Interaction", &l.Interaction, time.Hour, day},
		{"Consent", &l.Consent, 90 * day, 10 * year},
		{"SessionAbsolute", &l.SessionAbsolute, 90 * day, 10 * year},
		{"SessionIdle", &l.SessionIdle, min(14*day, cmp.Or(l.SessionAbsolute, 90*day)), 10 * year},
		{"SessionBrief", &l.SessionBrief, min(8*time.Hour, cmp.Or(l.SessionIdle, 14*day)), 10 * year},
	} {
		bounded("Lifetimes."+life.field, life.value, life.otherwise, time.Second, life.max, found)
	}
	for _, pair := range []struct {
		field     string
		idle, all time.Duration
	}{{"Refresh", l.RefreshIdle, l.RefreshAbsolute}, {"Session", l.SessionIdle, l.SessionAbsolute}} {
		if pair.idle > pair.all && pair.all > 0 {
			found.add("Lifetimes."+pair.field+"Idle", span(pair.idle)+", longer than "+pair.field+"Absolute", "write at most %s", span(pair.all))
		}
	}
}

// deviceLife is how long the codes of a device live, 0 when there is no device grant.
func (r *resolvedConfig) deviceLife() time.Duration {
	if !r.DeviceGrant {
		return 0
	}
	return r.Lifetimes.DeviceCode
}

// bounded puts the default in place of 0 and notes what is out of bounds.
func bounded(field string, value *time.Duration, otherwise, least, most time.Duration, found *problems) {
	if *value == 0 {
		*value = otherwise
		return
	}
	if *value < least || *value > most {
		found.add(field, span(*value), "write %s to %s, or 0 for %s", span(least), span(most), span(otherwise))
	}
}

// span writes a duration as people say it: 7 days, 1h30m.
func span(d time.Duration) string {
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (r *resolvedConfig) resolveRefresh(found *problems) {
	switch p := r.Refresh.Policy; {
	case p == "": // the engine chooses: it knows which tokens are bound to a key
	case p == storage.RefreshNone:
		// It would apply to public clients, where a stolen token is never noticed.
		found.add("Refresh.Policy", `"none"`, "write it as RefreshPolicy of the confidential clients that need it, and window or strict here")
	case !slices.Contains(refreshPolicies(), p):
		found.add("Refresh.Policy", quoted(string(p)), "write window, strict or until-used")
	}
	bounded("Refresh.Window", &r.Refresh.Window, 30*time.Second, time.Second, 10*time.Minute, found)
}

func (r *resolvedConfig) resolveKeys(found *problems) {
	known := []string{"RS256", "ES256", "EdDSA"}
	k := &r.Keys
	k.Algorithms = slices.Clone(k.Algorithms)
	if len(k.Algorithms) == 0 {
		k.Algorithms = known[:2]
	}
	for i, alg := range k.Algorithms {
		switch {
		case !slices.Contains(known, alg):
			found.add(index("Keys.Algorithms", i), quoted(alg), "write RS256, ES256 or EdDSA")
		case slices.Index(k.Algorithms, alg) < i:
			found.add(index("Keys.Algorithms", i), quoted(alg)+" a second time", "leave it out")
		}
	}
	bounded("Keys.CacheTime", &k.CacheTime, time.Hour, time.Minute, 7*day, found)
	bounded("Keys.Rotation", &k.Rotation, 30*day, time.Hour, 2*year, found)
	bounded("Keys.DataRotation", &k.DataRotation, 90*day, day, 10*year, found)
	if k.Rotation > 0 && k.CacheTime > k.Rotation {
		found.add("Keys.CacheTime", span(k.CacheTime)+", longer than Keys.Rotation", "write at most %s, so that clients know a key before it signs", span(k.Rotation))
	}
}

// resolveClients checks the configured clients.
func (r *resolvedConfig) resolveClients(found *problems) {
	at := map[string]int{}
	for i := range r.Clients {
		c := &r.Clients[i]
		of := &problems{at: index("Clients", i) + ": "}
		if c.ID != "" {
			of.at = index("Clients", i) + " " + quoted(c.ID) + ": "
		}
		r.registrar.judge(c, of)
		if c.TakesSecret() && c.Secret == "" && len(c.Secrets) == 0 {
			of.add("client_secret", "nothing", `set Secret, or write "none" as token_endpoint_auth_method of a client that can't keep one`)
		}
		if first, twice := at[c.ID]; twice && c.ID != "" {
			of.add("client_id", "an ID that Clients["+fmt.Sprint(first)+"] has as well", "give one of them another")
		} else {
			at[c.ID] = i
		}
		found.list = append(found.list, of.list...)
	}
}

// warn tells the operator what weakens the server.
func (r *resolvedConfig) warn() {
	if r.site.loopback {
		r.log.Info("development mode: the issuer is a loopback address, so error pages may show what is registered", "issuer", r.Issuer)
	}
	if len(r.Insecure.FetchHosts) > 0 {
		r.log.Warn("insecure setting: hosts that are not on the open Internet may be fetched from", "hosts", r.Insecure.FetchHosts, "setting", "Insecure.FetchHosts")
	}
	if r.Insecure.AcceptClock {
		r.log.Warn("insecure setting: a clock behind the last commit is accepted", "setting", "Insecure.AcceptClock")
	}
	for i := range r.Clients {
		warnClient(r.log, &r.Clients[i])
	}
}

func warnClient(log *slog.Logger, c *storage.Client) {
	if c.Insecure.SkipPKCE {
		log.Warn("insecure setting: a client may leave out PKCE", "client_id", c.ID, "setting", "insecure.skip_pkce")
	}
	if c.Insecure.AssertionForTokenEndpoint {
		log.Warn("insecure setting: a client's assertions may be meant for the token endpoint instead of the issuer", "client_id", c.ID, "setting", "insecure.assertion_for_token_endpoint")
	}
	if c.TokenEndpointAuthMethod == storage.AuthMethodSecretJWT {
		log.Warn("a client signs with its secret, so the secret itself is kept, sealed, instead of a hash; private_key_jwt needs no secret", "client_id", c.ID, "setting", "token_endpoint_auth_method")
	}
	if c.Secret != "" && len(c.Secret) < goodSecret {
		log.Warn("a client's secret is short; 16 characters or more are better", "client_id", c.ID, "setting", "client_secret")
	}
}

// checkSecrets refuses what does not keep the keys of the store, without showing it.
func (r *resolvedConfig) checkSecrets(found *problems) {
	for i, s := range r.Secrets {
		if len(s) < 32 {
			found.add(index("Secrets", i), fmt.Sprintf("%d bytes", len(s)), "write at least 32 random bytes, as openssl rand -base64 48 makes them")
		} else if why := storage.WeakSecret(s); why != "" {
			found.add(index("Secrets", i), why, "make another one, as by openssl rand -base64 48")
		}
	}
	switch {
	case r.FormerKeyWrapper == nil:
	case r.KeyWrapper == nil && len(r.Secrets) == 0:
		found.add("FormerKeyWrapper", "neither KeyWrapper nor Secrets beside it", "set KeyWrapper or Secrets, which shall wrap the keys from now on")
	case r.KeyWrapper != nil && r.KeyWrapper.ID() == r.FormerKeyWrapper.ID():
		found.add("FormerKeyWrapper", "the ID of KeyWrapper", "leave it out, or give the two services their own IDs")
	}
	if r.KeyWrapper != nil && r.KeyWrapper.ID() == "" {
		found.add("KeyWrapper", "an empty ID", "let ID name the service and its key")
	}
}

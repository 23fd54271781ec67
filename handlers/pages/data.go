package pages

import (
	"html/template"
	"time"
)

// Page is the data of one page. The types of this package are all there are.
type Page interface{ file() string }

// Site is what every page is told, as .Site.
type Site struct {
	Name   string // of the product
	Lang   string // of the page, for the lang attribute. RFC 5646
	Dir    string // in which it is written: ltr or rtl
	Assets string // URL path under which the static files are served, without a slash at its end
	Style  string // URL path of the stylesheet
	Icon   string // URL path of the icon in the browser's tab
	Logo   string // URL path of the logo, empty when there is none
}

// Form is what the form of a page needs.
type Form struct {
	Action string // URL that the form posts to
}

// Client is the application that asks.
type Client struct {
	Name       string // what people know it by; cleaned
	URI        string // its web page, empty when unknown; no page of ours links to it or to the next two
	PolicyURI  string // what it does with data, in its own words
	TOSURI     string // its terms
	Host       string // where the answer goes: a host, "this device", or a scheme
	Home       string // host that vouches for the client by publishing what it is; empty when none does
	Away       bool   // the answer goes to another host than Home
	Local      bool   // the answer goes to a program on this device
	FirstParty bool   // it belongs to the product itself
}

// Scope is one thing that is asked for.
type Scope struct {
	Name        string
	Description string // in words; the name when there are none
	Optional    bool   // the person may leave it out: a box, sent as scope
}

// Claim is one thing about the person that is asked for by itself. OpenID Connect
// Core §5.5
type Claim struct {
	Name        string
	Description string // in words: "See your date of birth"
	Essential   bool   // the client says that it can't go on well without it
}

// Login asks for name and password. The form sends username and password.
type Login struct {
	Form
	Client   Client
	Username string // what was typed before, or the login_hint
	Error    string // why the page is shown again, empty at first
	Reauth   bool   // the person is signed in already and is asked to prove it again

	// AskRemember says that the page has a box to stay signed in, sent as remember, and
	// Remember that it was ticked before.
	AskRemember bool
	Remember    bool
}

// Accounts asks which of the people who are signed in in this browser goes on. Its forms
// send decision: account or remove, with session; other; deny.
type Accounts struct {
	Form
	Client Client
	List   []Account // whoever was there last first
}

// Account is somebody who is signed in in this browser.
type Account struct {
	ID   string // to be sent as session
	Name string
}

// Consent asks what a client may do. The form sends decision: allow or deny.
type Consent struct {
	Form
	Client  Client
	Account string // who is signed in
	Scopes  []Scope
	Claims  []Claim // asked for one by one, beside the scopes
	Offline bool    // access goes on while the person is away

	// Choice says that something may be left out; the form then sends choice, and scope
	// for each box that is ticked.
	Choice          bool
	OfflineOptional bool
}

// Error tells that something went wrong.
type Error struct {
	Title     string
	Message   string // what happened
	Advice    string // what to do now
	Problem   string // what happened, for the developer, in English; empty when Message says it all
	Detail    string // more for the developer, in English, only where the issuer is on loopback
	Help      string // URL of what this error means, empty when there is none
	RequestID string // also in the log
}

// Expired tells that a sign-in can't go on: too old, used, or begun elsewhere.
// The form, where there is one, sends decision: restart.
type Expired struct {
	Form             // Action is empty when the request can't be started again
	Title     string // "This sign-in link has expired"
	Message   string
	RequestID string
}

// Logout asks whether to sign out. The form sends decision: signout, stay or all.
type Logout struct {
	Form
	Account string
	All     bool   // others are signed in in this browser too: all may be signed out at once
	Client  string // name of the application that asks, empty when unknown
}

// SignedOut tells that the person is signed out.
type SignedOut struct {
	Stayed bool // the person chose to stay signed in

	// Frames are pages of clients that sign the person out there when they are shown.
	// Continue is where the browser goes on to by itself after a moment, empty for
	// nowhere. OpenID Connect Front-Channel Logout §2
	Frames   []Frame
	Continue template.URL // registered for the client
}

// Frame is a page of a client, to be shown in an iframe that nobody sees.
type Frame struct {
	URL    string
	Client string // name
}

// FormPost sends the answer to the client by a form. OAuth 2.0 Form Post Response Mode
type FormPost struct {
	Client string       // name
	URL    template.URL // the redirect URI, checked
	Fields []Field
	Script string // URL path of the script that submits the form at once
}

// Field is one field of a FormPost.
type Field struct{ Name, Value string }

// Return leads back to an app by its private-use scheme. RFC 8252 §7.1
type Return struct {
	Client string       // name
	URL    template.URL // the redirect URI with the answer, checked
	Failed bool         // the answer is an error
}

// Reasons explains every error by its anchor.
type Reasons struct{ List []Reason }

// Reason is one entry of Reasons.
type Reason struct {
	Anchor string // error_uri is the page's URL, a # and this
	Code   string // the code of the protocol
	What   string // what happened
	Change string // what to change
}

// Device asks for the code that a device without a browser shows. The form sends
// user_code. It is shown also when a link brought the code, for the person to compare.
type Device struct {
	Form
	Code  string // what the link brought or was typed before
	Error string // why the page is shown again, empty at first
}

// DeviceConsent asks whether a device may sign in. The form sends decision: allow or
// deny. It must tell where the request came from, and warn: anybody can send a link
// to this page.
type DeviceConsent struct {
	Form
	Client    Client
	Account   string // who is signed in
	Scopes    []Scope
	Offline   bool   // access goes on while the person is away
	Address   string // IP address of the device, empty when unknown
	UserAgent string // what the device calls itself, cleaned; empty when it says nothing
}

// DeviceDone tells that the device has its answer.
type DeviceDone struct {
	Client string // name
	Denied bool
}

// Apps lists the applications that a person is connected with.
type Apps struct {
	Account  string
	List     []App
	Removed  bool   // one was just disconnected
	Sessions string // URL of the page of sessions, empty when there is none
}

// App is one application that a person is connected with.
type App struct {
	Name     string // cleaned
	Scopes   []Scope
	Offline  bool      // access goes on while the person is away
	Since    time.Time // when it was allowed
	LastUsed time.Time // zero: it was not used yet
	Remove   string    // URL of the page that asks whether to disconnect it
}

// RemoveApp asks whether to disconnect an application. The form sends app, token and
// decision: remove or keep.
type RemoveApp struct {
	Form
	ID    string // to be sent as app
	Token string // to be sent as token
	App   App
}

// Sessions lists where a person is signed in. Its forms send token and decision: end,
// with session, or others.
type Sessions struct {
	Form
	Token   string // to be sent as token
	Account string
	List    []Session // this one first
	Others  bool      // there are others than this
	Ended   bool      // some were just ended
	Apps    string    // URL of the page of connected applications
	SignOut string    // URL that signs this browser out
}

// Session is one browser that a person is signed in in.
type Session struct {
	ID      string // to be sent as session
	Browser string // "Firefox", empty when unknown
	System  string // "Windows", empty when unknown
	Address string // IP address, empty when unknown
	Since   time.Time
	SeenAt  time.Time // to the hour
	Current bool      // it is the one that asks
}

func (Apps) file() string      { return "apps.html" }
func (RemoveApp) file() string { return "removeapp.html" }
func (Sessions) file() string  { return "sessions.html" }

func (Device) file() string        { return "device.html" }
func (DeviceConsent) file() string { return "deviceconsent.html" }
func (DeviceDone) file() string    { return "devicedone.html" }

func (Login) file() string     { return "login.html" }
func (Accounts) file() string  { return "accounts.html" }
func (Consent) file() string   { return "consent.html" }
func (Error) file() string     { return "error.html" }
func (Expired) file() string   { return "expired.html" }
func (Logout) file() string    { return "logout.html" }
func (SignedOut) file() string { return "signedout.html" }
func (FormPost) file() string  { return "formpost.html" }
func (Return) file() string    { return "return.html" }
func (Reasons) file() string   { return "reasons.html" }

// Package pages holds what people see: one html/template and one exported struct of
// data for each page, a layout around all of them, and one stylesheet.
//
// A host replaces single files through an fs.FS, by these names:
//
//	layout.html          the frame: calls {{template "title" .}} and {{template "content" .}}
//	login.html           data Login
//	accounts.html        data Accounts, asks which account goes on
//	consent.html         data Consent
//	device.html          data Device, asks for the code that a device shows
//	deviceconsent.html   data DeviceConsent
//	devicedone.html      data DeviceDone
//	error.html           data Error
//	expired.html         data Expired
//	logout.html          data Logout, asks whether to sign out
//	signedout.html       data SignedOut
//	formpost.html        data FormPost
//	return.html          data Return, the way back to an app on the device
//	reasons.html         data Reasons, what every error means
//	style.css            the stylesheet
//	icon.svg             shown in the browser's tab
//	logo.svg, logo.png   shown above every page
//	messages/de.json     the words in German; the same for any other language
//
// A page defines the templates "title" and "content". It is executed with Data: .Site,
// the same for all pages, .Page, its own data, and the words of its language by
// {{$.T "login.lead" "client" (strong .Page.Client.Name)}}, in titles and attributes by
// {{$.Text "login.title"}}. Messages are named in files/messages/en.json. To change the colours alone, replace
// style.css by one line and five variables:
//
//	@import "default.css"; :root { --brand: #b3261e; --brand-text: #fff; --page: #faf7f5; --card: #fff; --text: #1d1b1a; }
package pages

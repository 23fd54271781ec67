package handlers

import "strings"

// agentOf tells by what name people know a browser and the system it runs on, empty
// when that is not known. The order matters: browsers claim to be others, too.
func agentOf(userAgent string) (browser, system string) {
	return firstIn(userAgent, []named{
			{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Vivaldi/", "Vivaldi"},
			{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
		}), firstIn(userAgent, []named{
			{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"CrOS", "ChromeOS"},
			{"Mac OS X", "macOS"}, {"Linux", "Linux"}, {"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"},
		})
}

type named struct{ mark, name string }

func firstIn(userAgent string, list []named) string {
	for _, n := range list {
		if strings.Contains(userAgent, n.mark) {
			return n.name
		}
	}
	return ""
}

package pages

import (
	"fmt"
	"html/template"
	"time"

	"golang.org/x/text/number"
)

// moment is a time, in the words of a language and for machines.
type moment struct{ words, machine string }

func (m moment) String() string { return m.words }

// Date is a day as people write it.
func (d Data) Date(at time.Time) any {
	return moment{d.language.day(at), at.UTC().Format("2006-01-02")}
}

// DateTime is Date with the time of day, in UTC: where the person is nobody knows.
func (d Data) DateTime(at time.Time) any {
	at = at.UTC()
	words := d.language.Say("date.time", "date", literal(d.language.day(at)), "time", literal(at.Format("15:04 MST")))
	return moment{words, at.Format("2006-01-02T15:04Z07:00")}
}

func (l *Language) day(at time.Time) string {
	at = at.UTC()
	plain := func(n int) literal { return literal(l.print.Sprint(number.Decimal(n, number.NoSeparator()))) }
	return l.Say("date", "day", plain(at.Day()), "month", literal(l.Say(fmt.Sprintf("month.%d", at.Month()))), "year", plain(at.Year()))
}

// timeMarkup is a moment for HTML.
func timeMarkup(m moment) string {
	return `<time datetime="` + template.HTMLEscapeString(m.machine) + `"><bdi>` + template.HTMLEscapeString(m.words) + `</bdi></time>`
}

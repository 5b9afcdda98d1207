package readpdf

import "regexp"

// This file lists the labels of details on invoices in English, German, French,
// Italian and Spanish. A label counts only at the beginning of a line or
// column.

const (
	// s matches a space inside a label. sep matches the end of a label.
	s   = `[ \t]+`
	sep = `[ \t\v]*:?[ \t\v]*`
	num = `(?:number|no\.?|nr\.?|num\.?|#|n°|nº|n\.°|n\.º|id)`
)

// label compiles a label. The label must not be the beginning of a longer word.
func label(names string) *regexp.Regexp {
	r := regexp.MustCompile(`(?i)^(?:` + names + `)(?:` + sep + `)`)
	r.Longest() // "netto" is a prefix of "nettobetrag"
	return r
}

var numberLabels = label(
	`(?:invoice|inv\.?|bill)[ \t-]*` + num +
		`|rechnungs?\.?[ \t-]*(?:nummer|nr\.?|no\.?|#)|re(?:ch)?\.?[ \t-]*nr\.?` +
		`|facture` + `[ \t]*(?:numéro|n°|nº|no\.?|#)|(?:numéro|n°|nº)` + s + `(?:de` + s + `)?(?:la` + s + `)?facture` +
		`|fattura[ \t]*(?:numero|nr?\.?|n°|nº)|(?:numero|n\.|n°|nº)` + s + `(?:di` + s + `|della` + s + `)?fattura` +
		`|factura[ \t]*(?:número|núm\.?|n\.?º|n°|n\.?o\.?)|(?:número|núm\.?|n\.?º|n°)` + s + `(?:de` + s + `)?(?:la` + s + `)?factura`)

// aNumberLabel finds the label at any position, as in "for invoice number 17".
// It also finds a title, such as "Invoice 17".
var aNumberLabel = regexp.MustCompile(`(?i)(?:invoice|rechnungs?|facture|fattura|factura|bill|credit[ \t]*note|gutschrifts?|receipt)[ \t-]*(number|nummer|nr\.?|no\.|no\b|numéro|numero|número|núm\.?|#|n°|nº|n\.?º|n\.)?[ \t\v]*:?[ \t\v]*([A-Z0-9][A-Z0-9/_.-]*)`)

var numberForm = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9/_.-]*[A-Za-z0-9])?`)

// notNumbers matches numbers other than invoice numbers.
var notNumbers = regexp.MustCompile(`^(?:[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}|[A-Z]{2}[0-9]{8,12}|[0-9]{1,2}[./-][0-9]{1,2}[./-](?:[0-9]{2}|[0-9]{4})|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9.,]*[.,][0-9]{2})$`)

// dateLabels lists the labels of each language. In English, the order of day
// and month is unknown.
var dateLabels = []struct {
	day   bool // the day always comes first
	label *regexp.Regexp
}{
	{true, label(`rechnungs-?datum|datum` + s + `der` + s + `rechnung|ausstellungsdatum|belegdatum|datum`)},
	{true, label(`date` + s + `(?:de` + s + `)?(?:la` + s + `)?(?:facturation|facture)|date` + s + `d[’']émission`)},
	{true, label(`data` + s + `(?:della` + s + `|di` + s + `)?(?:fattura|emissione)|data`)},
	{true, label(`fecha` + s + `(?:de` + s + `)?(?:la` + s + `)?(?:factura|emisión)|fecha`)},
	{false, label(`(?:invoice|billing|issue)[ \t-]*date|date` + s + `of` + s + `(?:invoice|issue)|date` + s + `issued|issued` + s + `on|date`)},
}

// aDateLabel finds the label of an invoice date at any position.
var aDateLabel = regexp.MustCompile(`(?i)(?:invoice[ \t-]*date|date[ \t]+of[ \t]+(?:invoice|issue)|issue[ \t]+date|issued[ \t]+on|rechnungs-?datum|ausstellungsdatum|belegdatum|date[ \t]+de[ \t]+(?:facturation|facture)|data[ \t]+(?:della[ \t]+)?fattura|fecha[ \t]+de[ \t]+(?:la[ \t]+)?factura)`)

const taxWords = `(?:vat|tax|gst|sales` + s + `tax|mwst\.?|ust\.?|mehrwertsteuer|umsatzsteuer|tva|iva)`

// with matches the suffix of a label for a total with taxes.
const with = `(?:` + s + `\(?(?:incl(?:uding|\.)?|inkl(?:usive|\.)?)` + s + `(?:[0-9]{1,2}(?:[.,][0-9])?[ \t]*%` + s + `)?` + taxWords + `\)?)`

// in matches a currency in a label.
const in = `(?:` + s + `(?:in` + s + `)?\(?(?-i:` + money + `)\)?)?`

// grossLabels match the amount to pay. totalLabels may match any kind of sum.
var (
	grossLabels = label(`(?:grand` + s + `total|invoice` + s + `total|total` + s + `amount(?:` + s + `due)?|total` + s + `gross|gross` + s + `total|gross` + s + `amount|total` + s + `due|amount` + s + `due|balance` + s + `due|total` + s + `payable|amount` + s + `payable|total` + s + `to` + s + `pay` +
		`|gesamtbetrag(?:` + s + `brutto)?|rechnungsbetrag(?:` + s + `brutto)?|rechnungssumme|gesamtsumme(?:` + s + `brutto)?|endbetrag|endsumme|bruttobetrag|bruttosumme|gesamt` + s + `brutto|summe` + s + `brutto|zahlbetrag|zu` + s + `zahlen(?:der` + s + `betrag)?` +
		`|(?:montant` + s + `)?total` + s + `ttc|montant` + s + `ttc|net` + s + `à` + s + `payer|total` + s + `à` + s + `payer` +
		`|totale` + s + `(?:fattura|documento|ivato|da` + s + `pagare)|total` + s + `(?:factura|a` + s + `pagar)` +
		`|(?:total|gesamt|summe)` + with + `)` + with + `?` + in)
	totalLabels = label(`(?:total|gesamt|summe|totale|importo` + s + `totale|importe` + s + `total)` + in)
	// otherLabels match sums other than the total of the invoice.
	otherLabels = label(`sub-?[ \t]*total|zwischensumme|(?:total` + s + `)?net(?:to)?(?:` + s + `(?:total|amount))?|total` + s + `net(?:to)?|(?:gesamt(?:betrag)?|summe)` + s + `netto|nettobetrag|nettosumme|netto` + s + `gesamt` +
		`|(?:montant` + s + `|sous-)?total` + s + `h\.?t\.?|sous-total|totale` + s + `(?:imponibile|netto)|imponibile|base` + s + `imponible|subtotale` +
		`|total` + s + `(?:savings?|saved|discount|items?|quantity|qty|weight|hours|units|pages)|you` + s + `saved?|rabatt|discount|remise` +
		`|amount` + s + `paid|total` + s + `paid|paid|anzahlung|bereits` + s + `gezahlt`)
	netLabels = label(`sub-?[ \t]*total|zwischensumme|(?:total` + s + `)?net(?:to)?(?:` + s + `(?:total|amount))?|total` + s + `net(?:to)?|(?:gesamt(?:betrag)?|summe)` + s + `netto|nettobetrag|nettosumme|netto` + s + `gesamt|(?:montant` + s + `)?total` + s + `h\.?t\.?|totale` + s + `(?:imponibile|netto)|imponibile|base` + s + `imponible`)
	taxLabels = regexp.MustCompile(`(?i)^(?:total` + s + `|zzgl\.?` + s + `|plus` + s + `|\+[ \t]*)?(?:[0-9]{1,2}(?:[.,][0-9])?[ \t]*%` + s + `)?` + taxWords + `(?:[ \t(:@\v0-9]|$)`)
)

// sums matches the words in labels of possible totals.
var sums = regexp.MustCompile(`(?i)(?:^|[^\pL])(?:totals?|totale|grand|gesamt|summe|betrag|amount|balance|saldo|montant|importe|importo|somme|brutto|gross|payable|payer|pagar|pagare|zahlen|due|gesamt\pL+|\pL+betrag|\pL+summe)(?:$|[^\pL])`)

// Words that change the meaning of the file.
var (
	creditWords  = regexp.MustCompile(`(?i)(?:^|[^\pL])(?:gutschrift|credit[ \t]*(?:note|memo|invoice)|storno\pL*|rechnungskorrektur|avoir|nota[ \t]*di[ \t]*credito|abono|factura[ \t]*rectificativa|refund\pL*|erstattung|storniert|annullie?rt|cancell?ed|cancell?ation|reversal)(?:$|[^\pL])`)
	withoutTaxes = regexp.MustCompile(`(?i)(?:zzgl|zuzüglich|exkl|exklusive|ohne[ \t]+(?:mwst|ust|mehrwertsteuer|umsatzsteuer)|excl|excluding|exclusive|plus[ \t]+(?:vat|tax|gst|[0-9]+[ \t]*%)|before[ \t]+tax|hors[ \t]+taxe|tax[ \t]+not[ \t]+included|iva[ \t]+(?:esclusa|no[ \t]+incluido)|(?:preise|beträge)\P{L}.*netto|netto-?preise|(?:prices|amounts)[ \t]+(?:are[ \t]+)?net)`)
	payments     = regexp.MustCompile(`(?i)(?:^|[^\pL])(?:paid|payments?[ \t]+received|deposit|prepayment|anzahlung|abschlagszahlung|gezahlt|bezahlt|vorauszahlung|acompte|payé|pagado|acconto|pagato)(?:$|[^\pL])`)
	notInvoices  = regexp.MustCompile(`(?i)(?:^|[^\pL])(?:pro[ -]?forma|quotation|quote|estimate|angebot|kostenvoranschlag|auftragsbestätigung|lieferschein|delivery[ \t]*note|order[ \t]*confirmation|mahnung|zahlungserinnerung|payment[ \t]*reminder|account[ \t]*statement|statement[ \t]*of[ \t]*account|kontoauszug|devis|preventivo|presupuesto|muster|specimen|entwurf|draft|void|factuur|faktura|fatura|lasku|számla)(?:$|[^\pL])`) //nolint:misspell // Italian
)

// currencyWords finds every currency in a file.
var currencyWords = regexp.MustCompile(`(?:^|[^\pL])((?:` + codes + `)|(?i:euros?|dollars?|franken|francs|pounds|pfund|yen))(?:$|[^\pL])|((?:[A-Z]{1,2})?\$|€|£|₹|¥)`)

// americas matches countries with the month before the day, in any language.
var americas = regexp.MustCompile(`\$|(?:^|[^\pL])(?:USD|CAD|USA|Canada|Québec|Quebec|Puerto Rico)(?:$|[^\pL])`)

// dollarsOfTheUS matches evidence for United States dollars.
var dollarsOfTheUS = regexp.MustCompile(`(?:^|[^\pL])(?:USD|US\$|USA|U\.S\.A?\.?|United States)(?:$|[^\pL])`)

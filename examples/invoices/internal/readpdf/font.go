package readpdf

import (
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/ledongthuc/pdf"
	"golang.org/x/text/encoding/charmap"
)

// This file implements fonts. A font gives the text and the width of each
// character code.

// unreadable is the text of a code without a known meaning.
const unreadable = "\uFFFD"

// font is a font with codes of one or two bytes.
type font struct {
	bytes  int
	texts  map[int]string
	widths map[int]float64 // in units of the text space
	width  float64         // width of the other codes; negative if unknown
}

func (f *font) text(code int) string {
	if s, ok := f.texts[code]; ok {
		return s
	}
	return unreadable
}

// advance returns the width of a code, and whether it is known.
func (f *font) advance(code int) (float64, bool) {
	if w, ok := f.widths[code]; ok {
		return w, true
	}
	return max(f.width, 0), f.width >= 0
}

// newFont reads a font. An unreadable font has no texts.
func newFont(v pdf.Value) *font {
	if v.Key("Subtype").Name() == "Type0" {
		return newCompositeFont(v)
	}
	f := &font{bytes: 1, texts: map[int]string{}, widths: map[int]float64{}, width: -1}
	scale := 0.001
	if v.Key("Subtype").Name() == "Type3" {
		scale = v.Key("FontMatrix").Index(0).Float64()
	}
	widths := v.Key("Widths")
	first := int(v.Key("FirstChar").Int64())
	for i := range min(widths.Len(), 256) {
		f.widths[first+i] = widths.Index(i).Float64() * scale
	}
	base := v.Key("BaseFont").Name()
	standard := standardWidths(base)
	if widths.Len() == 0 && standard != nil {
		for code := 32; code < 127; code++ {
			f.widths[code] = float64(standard[code-32]) * scale
		}
		// The other widths vary too much to detect the end of a word. Only the
		// widths common to all these fonts are used.
		f.widths[0x80] = 0.556 // the Euro sign
		f.widths[0xA0] = f.widths[32]
	}
	f.simpleTexts(v, standard != nil)
	if stated, ok := toUnicode(v.Key("ToUnicode"), 1); ok {
		for code, text := range stated {
			if was, ok := f.texts[code]; ok && plain(was) != plain(text) {
				text = unreadable // the file contradicts itself
			}
			f.texts[code] = text
		}
	}
	return f
}

// simpleTexts sets the texts of a font with one byte per code, from its
// encoding.
func (f *font) simpleTexts(v pdf.Value, standard bool) {
	enc := v.Key("Encoding")
	name := enc.Name()
	if enc.Kind() == pdf.Dict {
		name = enc.Key("BaseEncoding").Name()
	}
	symbolic := v.Key("FontDescriptor").Key("Flags").Int64()&4 != 0
	switch {
	case v.Key("Subtype").Name() == "Type3":
	case name == "WinAnsiEncoding":
		f.table(charmap.Windows1252, 256)
	case name == "MacRomanEncoding":
		f.table(charmap.Macintosh, 256)
	case name == "" && (standard || enc.Kind() == pdf.Dict && !symbolic && v.Key("FontDescriptor").Key("FontFile3").IsNull() && v.Key("FontDescriptor").Key("FontFile").IsNull()), name == "StandardEncoding":
		f.table(charmap.Windows1252, 127)
		delete(f.texts, '`')
		f.texts['\''] = "’"
	}
	if enc.Kind() != pdf.Dict {
		return
	}
	code := 0
	differences := enc.Key("Differences")
	for i := range min(differences.Len(), 1024) {
		switch d := differences.Index(i); d.Kind() {
		case pdf.Integer:
			code = int(d.Int64())
		case pdf.Name:
			f.texts[code] = glyphText(d.Name())
			code++
		}
	}
}

func (f *font) table(m *charmap.Charmap, end int) {
	for code := 32; code < end; code++ {
		if r := m.DecodeByte(byte(code)); r != unicode.ReplacementChar && !unicode.IsControl(r) {
			f.texts[code] = string(r)
		}
	}
}

// newCompositeFont reads a font with two bytes per code.
func newCompositeFont(v pdf.Value) *font {
	f := &font{bytes: 2, texts: map[int]string{}, widths: map[int]float64{}, width: 1}
	if v.Key("Encoding").Name() != "Identity-H" {
		return f
	}
	f.texts, _ = toUnicode(v.Key("ToUnicode"), 2)
	d := v.Key("DescendantFonts").Index(0)
	if dw := d.Key("DW"); dw.Kind() == pdf.Integer || dw.Kind() == pdf.Real {
		f.width = dw.Float64() / 1000
	}
	w := d.Key("W")
	for i := 0; i+1 < w.Len(); {
		first, next := int(w.Index(i).Int64()), w.Index(i+1)
		if next.Kind() == pdf.Array {
			for j := range next.Len() {
				f.widths[first+j] = next.Index(j).Float64() / 1000
			}
			i += 2
			continue
		}
		if last := int(next.Int64()); i+2 < w.Len() && last >= first && last <= 0xFFFF {
			for code := first; code <= last; code++ {
				f.widths[code] = w.Index(i+2).Float64() / 1000
			}
		}
		i += 3
	}
	return f
}

const maxCMap = 4 << 20 // bytes

// toUnicode reads a character map. size is the number of bytes per code.
func toUnicode(v pdf.Value, size int) (map[int]string, bool) {
	out := map[int]string{}
	if v.Kind() != pdf.Stream {
		return out, false
	}
	data, err := io.ReadAll(io.LimitReader(v.Reader(), maxCMap))
	if err != nil {
		return out, false
	}
	l := &lexer{data: data}
	var stack []any
	for {
		tok, err := l.next(0)
		if err != nil {
			return map[int]string{}, true // the map is unreliable
		}
		if tok == nil {
			return out, true
		}
		op, ok := tok.(operator)
		if !ok {
			stack = append(stack, tok)
			continue
		}
		switch op {
		case "endbfchar":
			for i := 0; i+1 < len(stack); i += 2 {
				if code, ok := codeOf(stack[i], size); ok {
					out[code] = unicodeText(stack[i+1], 0)
				}
			}
		case "endbfrange":
			for i := 0; i+2 < len(stack); i += 3 {
				bfRange(out, stack[i], stack[i+1], stack[i+2], size)
			}
		}
		stack = stack[:0]
	}
}

func bfRange(out map[int]string, from, to, text any, size int) {
	first, ok := codeOf(from, size)
	last, ok2 := codeOf(to, size)
	if !ok || !ok2 || last < first {
		return
	}
	list, isList := text.([]any)
	for code := first; code <= last; code++ {
		switch n := code - first; {
		case !isList:
			out[code] = unicodeText(text, n)
		case n < len(list):
			out[code] = unicodeText(list[n], 0)
		}
	}
}

func codeOf(v any, size int) (int, bool) {
	s, ok := v.(rawString)
	if !ok || len(s) != size {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		n = n<<8 | int(s[i])
	}
	return n, true
}

// unicodeText decodes the text of the code at index n of a range.
func unicodeText(v any, n int) string {
	s, ok := v.(rawString)
	if !ok || len(s) == 0 || len(s)%2 != 0 {
		return unreadable
	}
	units := make([]uint16, len(s)/2)
	for i := range units {
		units[i] = uint16(s[2*i])<<8 | uint16(s[2*i+1])
	}
	if last := int(units[len(units)-1]) + n; last <= 0xFFFF {
		units[len(units)-1] = uint16(last)
	} else {
		return unreadable
	}
	return plain(string(utf16.Decode(units)))
}

// plain replaces lookalike characters by the common ones. A control character
// makes the text unreadable.
func plain(s string) string {
	for _, r := range s {
		if r != '\u00AD' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)) {
			return unreadable
		}
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Zs, r):
			return ' '
		case r == '\u00AD' || r == '\u2010' || r == '\u2011':
			return '-'
		}
		return r
	}, s)
}

// glyphText returns the text of a glyph name.
func glyphText(name string) string {
	if len(name) == 1 && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z') {
		return name
	}
	if text, ok := glyphNames[name]; ok {
		return text
	}
	if code, ok := strings.CutPrefix(name, "uni"); ok && len(code) == 4 {
		if n, err := strconv.ParseUint(code, 16, 16); err == nil && n >= 32 {
			return plain(string(rune(n)))
		}
	}
	return unreadable
}

var glyphNames = map[string]string{
	"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
	"space": " ", "period": ".", "comma": ",", "colon": ":", "semicolon": ";", "hyphen": "-", "minus": "−", "endash": "–", "emdash": "—",
	"slash": "/", "numbersign": "#", "percent": "%", "ampersand": "&", "plus": "+", "equal": "=", "underscore": "_", "at": "@",
	"parenleft": "(", "parenright": ")", "quotesingle": "'", "quoteright": "’", "quoteleft": "‘", "quotedblleft": "“", "quotedblright": "”",
	"Euro": "€", "dollar": "$", "sterling": "£", "yen": "¥", "degree": "°", "ordmasculine": "º", "section": "§", "bullet": "•",
	"asterisk": "*", "exclam": "!", "question": "?", "quotedbl": `"`, "bar": "|", "bracketleft": "[", "bracketright": "]",
	"fi": "fi", "fl": "fl", "ff": "ff", "ffi": "ffi", "ffl": "ffl",
	"adieresis": "ä", "odieresis": "ö", "udieresis": "ü", "Adieresis": "Ä", "Odieresis": "Ö", "Udieresis": "Ü", "germandbls": "ß",
	"eacute": "é", "egrave": "è", "ecircumflex": "ê", "agrave": "à", "acircumflex": "â", "ccedilla": "ç", "ugrave": "ù", "ucircumflex": "û",
	"Eacute": "É", "Agrave": "À", "Egrave": "È", "ocircumflex": "ô", "icircumflex": "î", "aacute": "á", "iacute": "í", "oacute": "ó", "uacute": "ú", "ntilde": "ñ",
	"ograve": "ò", "igrave": "ì",
}

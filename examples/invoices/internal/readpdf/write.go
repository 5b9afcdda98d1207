package readpdf

import (
	"fmt"
	"math"

	"github.com/ledongthuc/pdf"
)

// This file implements the text operators.

// ignored lists the operators without an effect on text.
var ignored = map[string]bool{
	"w": true, "J": true, "j": true, "M": true, "d": true, "ri": true, "i": true, "G": true, "RG": true, "K": true, "CS": true, "SC": true, "SCN": true,
	"BMC": true, "EMC": true, "MP": true, "DP": true, "BX": true, "EX": true, "d0": true, "d1": true, "ET": true,
}

func (in *interpreter) write(op string, n []float64, args []any, resources pdf.Value) error {
	switch op {
	case "BT":
		in.tm = matrix{1, 0, 0, 1, 0, 0}
		in.tlm = in.tm
	case "Tf":
		return in.setFont(args, resources)
	case "Td", "TD":
		if op == "TD" {
			in.leading = -n[1]
		}
		in.line(n[0], n[1])
	case "T*":
		in.line(0, -in.leading)
	case "Tm":
		in.tm, in.tlm = matrix(n), matrix(n)
	case "Tc":
		in.chars = n[0]
	case "Tw":
		in.words = n[0]
	case "Tz":
		in.scale = n[0] / 100
	case "TL":
		in.leading = n[0]
	case "Ts":
		in.rise = n[0]
	case "Tr":
		in.mode = int(n[0])
	case "Tj", "'", `"`, "TJ":
		return in.show(op, args)
	case "BDC":
		if len(args) > 0 && args[0] == nameToken("OC") {
			return refusef("the file has layers")
		}
	default:
		if !ignored[op] {
			return refusef("the content of a page is damaged")
		}
	}
	return nil
}

func (in *interpreter) setFont(args []any, resources pdf.Value) error {
	size, err := numbers(args, 1)
	if err != nil || len(args) != 2 {
		return refusef("the content of a page is damaged")
	}
	name, _ := args[0].(nameToken)
	v := resources.Key("Font").Key(string(name))
	if v.IsNull() {
		return refusef("a font of the file is missing")
	}
	id := fmt.Sprintf("%d %s", in.depth, name)
	if in.depth > 0 || in.fonts[id] == nil {
		in.fonts[id] = newFont(v)
	}
	in.font, in.size = in.fonts[id], size[0]
	return nil
}

func (in *interpreter) line(x, y float64) {
	in.tlm = matrix{1, 0, 0, 1, x, y}.mul(in.tlm)
	in.tm = in.tlm
}

func (in *interpreter) show(op string, args []any) error {
	if len(args) == 0 || in.font == nil {
		return refusef("the content of a page is damaged")
	}
	switch op {
	case `"`:
		spacing, err := numbers(args[:len(args)-1], 2)
		if err != nil {
			return refusef("the content of a page is damaged")
		}
		in.words, in.chars = spacing[0], spacing[1]
		fallthrough
	case "'":
		in.line(0, -in.leading)
	}
	items, isList := last(args).([]any)
	if !isList {
		items = []any{last(args)}
	}
	for _, item := range items {
		switch v := item.(type) {
		case rawString:
			if err := in.showString(string(v)); err != nil {
				return err
			}
		case float64:
			in.move(-v / 1000 * in.size * in.scale)
		default:
			return refusef("the content of a page is damaged")
		}
	}
	return nil
}

func (in *interpreter) move(x float64) { in.tm = matrix{1, 0, 0, 1, x, 0}.mul(in.tm) }

func (in *interpreter) showString(s string) error {
	f := in.font
	if len(s)%f.bytes != 0 {
		return refusef("a font of the file can't be read")
	}
	for i := 0; i < len(s); i += f.bytes {
		code := int(s[i])
		if f.bytes == 2 {
			code = code<<8 | int(s[i+1])
		}
		width, known := f.advance(code)
		if !known {
			return refusef("a font of the file does not state the widths of its characters")
		}
		if err := in.put(f.text(code), width); err != nil {
			return err
		}
		step := width*in.size + in.chars
		if f.bytes == 1 && code == ' ' {
			step += in.words
		}
		in.move(step * in.scale)
	}
	return nil
}

// put adds a glyph at the current position.
func (in *interpreter) put(text string, width float64) error {
	m := matrix{in.size * in.scale, 0, 0, in.size, 0, in.rise}.mul(in.tm).mul(in.ctm)
	size := math.Abs(m[3])
	x1, _ := m.apply(width, 0)
	g := &glyph{text: text, x0: m[4], x1: x1, y: m[5], size: size, light: in.light, middle: m[5] + 0.3*m[3]}
	if text == unreadable {
		return refusef("the text of the file is not stated: a font has no map to characters")
	}
	if upright := m[0] > 0 && m[3] > 0 && math.Abs(m[1]) < 0.01*size && math.Abs(m[2]) < 0.4*size; !upright && text != " " {
		return refusef("the file has text that is not upright")
	}
	x := (g.x0 + g.x1) / 2
	g.doubtful = in.faint || in.group || in.mode >= 3 || size < 2 || !in.clip.has(x, g.middle)
	if !g.doubtful && text != " " {
		under := 1.0
		for i := len(in.fills) - 1; i >= 0; i-- {
			f := in.fills[i]
			if !f.area.has(x, g.middle) {
				continue
			}
			if f.area.y1-f.area.y0 < 0.35*size { // the text is struck through
				g.doubtful = true
				continue
			}
			under = f.light
			break
		}
		g.doubtful = g.doubtful || math.Abs(under-g.light) < 0.25
	}
	in.glyphs = append(in.glyphs, g)
	if len(in.glyphs) > maxGlyphs || len(in.fills) > maxFills {
		return refusef("a page has too much on it")
	}
	return nil
}

// judge marks overlapping glyphs as doubtful.
func (in *interpreter) judge() {
	for _, line := range splitLines(in.glyphs) {
		for i := 1; i < len(line); i++ {
			a, b := line[i-1], line[i]
			if a.text != " " && b.text != " " && b.x0 < a.x1-0.4*min(a.x1-a.x0, b.x1-b.x0) {
				a.doubtful, b.doubtful = true, true
			}
		}
	}
}

package readpdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/ledongthuc/pdf"
)

// This file implements the interpreter of pages. It collects every glyph of a
// page with its position. It marks the glyphs that may be invisible: hidden,
// covered, clipped, or in the color of their background.

// A RefusalError gives the reason why a whole file is unreadable.
type RefusalError struct{ Reason string }

func (r *RefusalError) Error() string { return r.Reason }

func refusef(format string, args ...any) error { return &RefusalError{fmt.Sprintf(format, args...)} }

const (
	maxContent = 8 << 20 // content of a page, in bytes
	maxGlyphs  = 100_000
	maxFills   = 5_000
	maxForms   = 8 // nesting of forms
)

type matrix [6]float64

func (m matrix) mul(n matrix) matrix {
	return matrix{
		m[0]*n[0] + m[1]*n[2], m[0]*n[1] + m[1]*n[3],
		m[2]*n[0] + m[3]*n[2], m[2]*n[1] + m[3]*n[3],
		m[4]*n[0] + m[5]*n[2] + n[4], m[4]*n[1] + m[5]*n[3] + n[5],
	}
}

func (m matrix) apply(x, y float64) (float64, float64) {
	return m[0]*x + m[2]*y + m[4], m[1]*x + m[3]*y + m[5]
}

type rect struct{ x0, y0, x1, y1 float64 }

func (r rect) has(x, y float64) bool { return r.x0 <= x && x <= r.x1 && r.y0 <= y && y <= r.y1 }

func (r rect) and(o rect) rect {
	return rect{max(r.x0, o.x0), max(r.y0, o.y0), min(r.x1, o.x1), min(r.y1, o.y1)}
}

func (r rect) with(x, y float64) rect {
	return rect{min(r.x0, x), min(r.y0, y), max(r.x1, x), max(r.y1, y)}
}

var nowhere = rect{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}

// glyph is a character or a ligature at its position on the page.
type glyph struct {
	text      string
	x0, x1, y float64 // y is the baseline
	size      float64
	doubtful  bool    // it may be invisible, or look different
	light     float64 // lightness of its color, from 0 (black) to 1 (white)
	middle    float64 // vertical position of its middle
}

type fill struct {
	area  rect
	light float64
}

type state struct {
	ctm          matrix
	clip         rect
	light        float64 // lightness of the fill color, from 0 (black) to 1 (white)
	faint        bool
	font         *font
	size         float64
	chars, words float64 // spacing
	scale        float64
	leading      float64
	rise         float64
	mode         int
}

type interpreter struct {
	box    rect
	fonts  map[string]*font
	glyphs []*glyph
	fills  []fill
	images float64 // area of the largest image, as a fraction of the page

	state
	stack   []state
	tm, tlm matrix
	path    rect
	pieces  int // number of subpaths
	clipped bool
	depth   int
	group   bool // the current form is transparent as a whole
}

// readPage returns the visible glyphs of a page. It applies the page rotation.
func readPage(page pdf.Value) (*interpreter, error) {
	box := inherited(page, "CropBox")
	if box.Len() != 4 {
		box = inherited(page, "MediaBox")
	}
	if box.Len() != 4 {
		return nil, refusef("a page has no size")
	}
	x0, y0, x1, y1 := box.Index(0).Float64(), box.Index(1).Float64(), box.Index(2).Float64(), box.Index(3).Float64()
	in := &interpreter{fonts: map[string]*font{}}
	in.box = rect{min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)}
	turn := matrix{1, 0, 0, 1, 0, 0}
	switch ((inherited(page, "Rotate").Int64() % 360) + 360) % 360 {
	case 90:
		turn = matrix{0, -1, 1, 0, 0, 0}
	case 180:
		turn = matrix{-1, 0, 0, -1, 0, 0}
	case 270:
		turn = matrix{0, 1, -1, 0, 0, 0}
	}
	area := nowhere.with(turn.apply(in.box.x0, in.box.y0)).with(turn.apply(in.box.x1, in.box.y1))
	in.box = area
	in.state = state{ctm: turn, clip: area, scale: 1}
	in.path = nowhere
	content, err := contents(page.Key("Contents"))
	if err != nil {
		return nil, err
	}
	if err := in.run(content, inherited(page, "Resources")); err != nil {
		return nil, err
	}
	in.judge()
	return in, nil
}

func inherited(v pdf.Value, key string) pdf.Value {
	for range maxNesting {
		if found := v.Key(key); !found.IsNull() {
			return found
		}
		v = v.Key("Parent")
	}
	return pdf.Value{}
}

// contents reads the content streams of a page as one.
func contents(v pdf.Value) ([]byte, error) {
	streams := []pdf.Value{v}
	switch v.Kind() {
	case pdf.Null:
		return nil, nil
	case pdf.Array:
		streams = nil
		for i := range v.Len() {
			streams = append(streams, v.Index(i))
		}
	}
	var b bytes.Buffer
	for _, s := range streams {
		if s.Kind() != pdf.Stream {
			return nil, refusef("the content of a page is missing")
		}
		if _, err := io.Copy(&b, io.LimitReader(s.Reader(), int64(maxContent+1-b.Len()))); err != nil {
			return nil, refusef("the content of a page is damaged")
		}
		b.WriteByte('\n')
		if b.Len() > maxContent {
			return nil, refusef("a page is too large")
		}
	}
	return b.Bytes(), nil
}

// run interprets a content stream.
func (in *interpreter) run(content []byte, resources pdf.Value) error {
	l := &lexer{data: content}
	var args []any
	for {
		tok, err := l.next(0)
		if err != nil {
			return refusef("the content of a page is damaged")
		}
		if tok == nil {
			return nil
		}
		op, ok := tok.(operator)
		if !ok {
			if args = append(args, tok); len(args) > 64 {
				return refusef("the content of a page is damaged")
			}
			continue
		}
		switch op {
		case "true", "false", "null":
			args = append(args, tok)
			continue
		}
		if err := in.do(string(op), args, resources); err != nil {
			return err
		}
		args = args[:0]
	}
}

var errArguments = errors.New("wrong arguments")

// numbers returns the last n arguments.
func numbers(args []any, n int) ([]float64, error) {
	if len(args) < n {
		return nil, errArguments
	}
	out := make([]float64, n)
	for i, a := range args[len(args)-n:] {
		f, ok := a.(float64)
		if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errArguments
		}
		out[i] = f
	}
	return out, nil
}

// counts gives the number of arguments of operators.
var counts = map[string]int{
	"cm": 6, "re": 4, "m": 2, "l": 2, "c": 6, "v": 4, "y": 4, "Td": 2, "TD": 2, "Tm": 6, "Tc": 1, "Tw": 1, "Tz": 1, "TL": 1, "Ts": 1, "Tr": 1,
	"g": 1, "rg": 3, "k": 4,
}

func (in *interpreter) do(op string, args []any, resources pdf.Value) error {
	n, err := numbers(args, counts[op])
	if err != nil {
		return refusef("the content of a page is damaged")
	}
	switch op {
	case "q":
		if len(in.stack) > 256 {
			return refusef("the content of a page is damaged")
		}
		in.stack = append(in.stack, in.state)
	case "Q":
		if last := len(in.stack) - 1; last >= 0 {
			in.state, in.stack = in.stack[last], in.stack[:last]
		}
	case "cm":
		in.ctm = matrix(n).mul(in.ctm)
	case "gs":
		in.graphicsState(resources, args)
	case "BI":
		return refusef("the file has images in its text")
	case "sh":
		in.paint(in.clip, 0.5)
	case "Do":
		return in.object(resources, args)
	case "re", "m", "l", "c", "v", "y", "h", "f", "F", "f*", "B", "B*", "b", "b*", "S", "s", "n", "W", "W*":
		in.draw(op, n)
	case "g", "rg", "k", "sc", "scn", "cs":
		in.color(op, args)
	default:
		return in.write(op, n, args, resources)
	}
	return nil
}

func (in *interpreter) graphicsState(resources pdf.Value, args []any) {
	name, _ := last(args).(nameToken)
	gs := resources.Key("ExtGState").Key(string(name))
	if ca := gs.Key("ca"); ca.Kind() == pdf.Integer || ca.Kind() == pdf.Real {
		in.faint = ca.Float64() < 0.5
	}
	if mask := gs.Key("SMask"); mask.Kind() == pdf.Dict {
		in.faint = true
	}
	if f := gs.Key("Font"); f.Len() == 2 {
		in.font, in.size = newFont(f.Index(0)), f.Index(1).Float64()
	}
}

func last(args []any) any {
	if len(args) == 0 {
		return nil
	}
	return args[len(args)-1]
}

// color sets the lightness of the fill color. A pattern is neither light nor
// dark.
func (in *interpreter) color(op string, args []any) {
	n, err := numbers(args, len(args))
	switch {
	case op == "cs":
		in.light = 0
	case err != nil:
		in.light = 0.5
	case len(n) == 1:
		in.light = n[0]
	case len(n) == 3:
		in.light = 0.3*n[0] + 0.59*n[1] + 0.11*n[2]
	case len(n) == 4:
		in.light = (1 - min(1, 0.3*n[0]+0.59*n[1]+0.11*n[2])) * (1 - n[3])
	default:
		in.light = 0.5
	}
}

// draw processes a path. A path can cover and clip glyphs.
func (in *interpreter) draw(op string, n []float64) {
	switch op {
	case "re":
		in.pieces++
		in.extend(n[0], n[1])
		in.extend(n[0]+n[2], n[1]+n[3])
		in.extend(n[0]+n[2], n[1])
		in.extend(n[0], n[1]+n[3])
	case "m":
		in.pieces++
		in.extend(n[0], n[1])
	case "l", "c", "v", "y":
		for i := 0; i+1 < len(n); i += 2 {
			in.extend(n[i], n[i+1])
		}
	case "h":
	case "W", "W*":
		in.clipped = true
	default:
		if in.clipped {
			in.clip = in.clip.and(in.path)
		}
		// A frame fills the area between two rectangles and hides nothing.
		flat := in.path.y1-in.path.y0 < 3
		switch {
		case op == "n":
		case (op == "S" || op == "s") && flat, op != "S" && op != "s" && (in.pieces == 1 || flat):
			in.paint(in.path, in.light)
		}
		in.path, in.pieces, in.clipped = nowhere, 0, false
	}
}

func (in *interpreter) extend(x, y float64) { in.path = in.path.with(in.ctm.apply(x, y)) }

// paint covers an area and the glyphs in it.
func (in *interpreter) paint(area rect, light float64) {
	area = area.and(in.clip)
	if area.x0 > area.x1 || area.y0 > area.y1 {
		return
	}
	area.y0, area.y1 = area.y0-0.3, area.y1+0.3 // a line has a width
	for _, g := range in.glyphs {
		if area.has((g.x0+g.x1)/2, g.middle) {
			g.doubtful = true
		}
	}
	in.fills = append(in.fills, fill{area, light})
}

// object draws an image or a form.
func (in *interpreter) object(resources pdf.Value, args []any) error {
	name, _ := last(args).(nameToken)
	x := resources.Key("XObject").Key(string(name))
	if !x.Key("OC").IsNull() {
		return refusef("the file has layers")
	}
	switch x.Key("Subtype").Name() {
	case "Image":
		area := nowhere
		for _, c := range [][2]float64{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
			area = area.with(in.ctm.apply(c[0], c[1]))
		}
		area = area.and(in.clip)
		if area.x0 < area.x1 && area.y0 < area.y1 {
			in.images = max(in.images, (area.x1-area.x0)*(area.y1-area.y0)/((in.box.x1-in.box.x0)*(in.box.y1-in.box.y0)))
		}
		in.paint(area, 0.5)
		return nil
	case "Form":
	default:
		return refusef("the file has content of an unknown kind")
	}
	if in.depth >= maxForms {
		return refusef("the file has forms in forms")
	}
	content, err := contents(x)
	if err != nil {
		return err
	}
	if own := x.Key("Resources"); !own.IsNull() {
		resources = own
	}
	saved, stack, tm, tlm, group := in.state, in.stack, in.tm, in.tlm, in.group
	in.stack, in.depth, in.group = nil, in.depth+1, in.group || in.faint
	if m := x.Key("Matrix"); m.Len() == 6 {
		var by matrix
		for i := range by {
			by[i] = m.Index(i).Float64()
		}
		in.ctm = by.mul(in.ctm)
	}
	if b := x.Key("BBox"); b.Len() == 4 {
		area := nowhere
		for _, c := range [][2]int{{0, 1}, {2, 1}, {0, 3}, {2, 3}} {
			area = area.with(in.ctm.apply(b.Index(c[0]).Float64(), b.Index(c[1]).Float64()))
		}
		in.clip = in.clip.and(area)
	}
	err = in.run(content, resources)
	in.state, in.stack, in.tm, in.tlm, in.depth, in.group = saved, stack, tm, tlm, in.depth-1, group
	return err
}

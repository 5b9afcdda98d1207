package main

// This file writes the curves as pictures and as tables.

import (
	"fmt"
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// colours can be distinguished by people with red-green color blindness.
var colours = []color.Color{
	color.RGBA{R: 0x00, G: 0x5f, B: 0xa8, A: 0xff}, color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff},
	color.RGBA{R: 0x00, G: 0x8f, B: 0x6c, A: 0xff}, color.RGBA{R: 0x8c, G: 0x4a, B: 0x8c, A: 0xff},
}

// draw writes the curve as an SVG file with logarithmic axes, on which linear
// growth is a straight line.
func (c curve) draw(file string, lines []line) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x, c.y
	p.Title.Padding = vg.Points(8)
	p.BackgroundColor = color.White
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Points(3)
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.Y.Tick.Marker = powers{}
	var marks plot.ConstantTicks
	for _, pt := range lines[0].points {
		marks = append(marks, plot.Tick{Value: pt.x, Label: c.label(pt.x)})
	}
	p.X.Tick.Marker = marks
	p.Add(plotter.NewGrid())
	lowest, highest := lines[0].points[0].y, lines[0].points[0].y
	for i, l := range lines {
		xys := make(plotter.XYs, len(l.points))
		for j, pt := range l.points {
			xys[j].X, xys[j].Y = pt.x, pt.y
			lowest, highest = min(lowest, pt.y), max(highest, pt.y)
		}
		drawn, dots, err := plotter.NewLinePoints(xys)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		drawn.Width, drawn.Color = vg.Points(1.6), colours[i%len(colours)]
		dots.Color, dots.Shape, dots.Radius = drawn.Color, draw.CircleGlyph{}, vg.Points(2.4)
		p.Add(drawn, dots)
		p.Legend.Add(l.name, drawn, dots)
	}
	// Leave room for the legend above the lines.
	p.Y.Min, p.Y.Max = lowest/2, highest*pow2(1+len(lines))
	return p.Save(7*vg.Inch, 4.2*vg.Inch, file)
}

func pow2(n int) float64 { return float64(int(1) << n) }

// label formats a value of the x axis.
func (c curve) label(x float64) string {
	if !strings.HasPrefix(c.x, "bytes") {
		return short(x)
	}
	units := []string{"B", "KiB", "MiB", "GiB"}
	i := 0
	for ; x >= 1024 && i < len(units)-1; i++ {
		x /= 1024
	}
	return fmt.Sprintf("%.0f %s", x, units[i])
}

// powers marks the powers of ten with short labels.
type powers struct{}

func (powers) Ticks(lowest, highest float64) []plot.Tick {
	all := plot.LogTicks{Prec: -1}.Ticks(lowest, highest)
	for i := range all {
		if all[i].Label != "" {
			all[i].Label = short(all[i].Value)
		}
	}
	return all
}

// short formats a value with three significant digits.
func short(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%.3gG", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.3gk", v/1e3)
	case v >= 1e3:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// write writes the curve as a Markdown table.
func (c curve) write(w io.Writer, lines []line) error {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** (%s)\n\n| %s |", c.title, c.y, c.x)
	for _, l := range lines {
		fmt.Fprintf(&b, " %s |", l.name)
	}
	b.WriteString("\n|---:|" + strings.Repeat("---:|", len(lines)) + "\n")
	for i, pt := range lines[0].points {
		fmt.Fprintf(&b, "| %s |", c.label(pt.x))
		for _, l := range lines {
			fmt.Fprintf(&b, " %s |", short(l.points[i].y))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

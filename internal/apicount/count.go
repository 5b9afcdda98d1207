// Package apicount counts the exported identifiers of the packages that
// programs import, including methods and fields. Every reader pays for a large
// API, so a test limits the number.
package apicount

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Package is a package with its exported identifiers, sorted: "Name" for a
// function, type, constant or variable, "Type.Name" for a method or field.
type Package struct {
	Path  string // below the root of the repository, "." for the root package
	Names []string
}

// Count returns the packages below root that other programs can import and that
// export identifiers, sorted by path. It includes nested modules, but no
// examples, commands, tests and internal packages.
func Count(root string) ([]Package, error) {
	var out []Package
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		switch name := d.Name(); {
		case name == "internal", name == "testdata", name == "examples", name == "node_modules", path != root && strings.HasPrefix(name, "."):
			return filepath.SkipDir
		}
		names, err := exported(path)
		if err != nil || len(names) == 0 {
			return err
		}
		rel, err := filepath.Rel(root, path)
		out = append(out, Package{filepath.ToSlash(rel), names})
		return err
	})
	slices.SortFunc(out, func(a, b Package) int { return cmp.Compare(a.Path, b.Path) })
	return out, err
}

// exported returns the exported identifiers of the package in dir.
func exported(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool) // a name in several platform files counts once
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, entry.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("counting exported identifiers: %w", err)
		}
		if file.Name.Name == "main" {
			return nil, nil
		}
		for _, decl := range file.Decls {
			collect(names, decl)
		}
	}
	var out []string
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}

func collect(names map[string]bool, decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if !decl.Name.IsExported() {
			return
		}
		if decl.Recv == nil {
			names[decl.Name.Name] = true
		} else if on := receiver(decl.Recv.List[0].Type); ast.IsExported(on) {
			names[on+"."+decl.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					if name.IsExported() {
						names[name.Name] = true
					}
				}
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					names[spec.Name.Name] = true
					members(names, spec.Name.Name, spec.Type)
				}
			}
		}
	}
}

// members adds the fields of a struct and the methods of an interface.
func members(names map[string]bool, of string, t ast.Expr) {
	var list *ast.FieldList
	switch t := t.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, field := range list.List {
		for _, name := range field.Names {
			if name.IsExported() {
				names[of+"."+name.Name] = true
			}
		}
	}
}

// receiver returns the name of a receiver's type.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

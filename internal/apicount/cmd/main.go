// Command cmd prints the number of exported identifiers of each package:
//
//	go run ./internal/apicount/cmd [-names] [directory]
package main

import (
	"flag"
	"fmt"
	"log"

	"github.com/blobtrail/blobtrail/internal/apicount"
)

func main() {
	names := flag.Bool("names", false, "also print the identifiers")
	flag.Parse()
	root := "."
	if flag.NArg() > 0 {
		root = flag.Arg(0)
	}
	packages, err := apicount.Count(root)
	if err != nil {
		log.Fatal(err)
	}
	total := 0
	for _, p := range packages {
		fmt.Printf("%5d  %s\n", len(p.Names), p.Path)
		total += len(p.Names)
		if *names {
			for _, name := range p.Names {
				fmt.Printf("       %s\n", name)
			}
		}
	}
	fmt.Printf("%5d  in all\n", total)
}

//go:build !linux

package main

import "errors"

// Without /proc a process's figures are not available: -pid is refused.

func processUsage(int) (usage, error) { return usage{}, errors.ErrUnsupported }

func machineUsage() float64 { return 0 }

func processFiles(int) uint64 { return 0 }

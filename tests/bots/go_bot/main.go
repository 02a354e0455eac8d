// A bot in Go: its session is a folder with a key and a counter, its QR code a picture.
package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	key := filepath.Join("session", "device.key")
	if _, err := os.Stat(key); err != nil {
		picture, _ := os.ReadFile("picture")
		fmt.Print(string(picture))
		for {
			if _, err := os.Stat("code"); err == nil {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		secret := make([]byte, 32)
		rand.Read(secret)
		os.MkdirAll("session", 0o700)
		os.WriteFile(key, []byte(hex.EncodeToString(secret)), 0o600)
	}
	fmt.Println("bot is ready")
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
			os.WriteFile(filepath.Join("session", "counter"), []byte(fmt.Sprint(n)), 0o600)
		}
	}
}

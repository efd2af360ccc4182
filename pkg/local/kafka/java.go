package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// minJava is the oldest Java that Kafka 4's brokers run on.
const minJava = 17

const installHint = "apt-get install openjdk-17-jre-headless maven"

// javaVersion finds the feature release in the first line of `java -version`:
// openjdk version "17.0.15" 2025-04-15, or "1.8.0_402" up to Java 8.
var javaVersion = regexp.MustCompile(`version "(\d+)(?:\.(\d+))?`)

// findJava gives the java of JAVA_HOME or PATH, when it is new enough, and all that
// it says of its version.
func findJava(ctx context.Context) (java, version string, err error) {
	java = "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	out, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return "", "", fmt.Errorf("running Kafka needs Java %d or later, and %s is missing: %s", minJava, java, installHint)
	}
	if err != nil {
		return "", "", fmt.Errorf("asking %s for its version: %w", java, err)
	}
	release, err := featureRelease(out)
	if err != nil {
		return "", "", fmt.Errorf("asking %s for its version: %w", java, err)
	}
	if release < minJava {
		return "", "", fmt.Errorf("running Kafka needs Java %d or later, and %s is Java %d: %s", minJava, java, release, installHint)
	}
	return java, string(out), nil
}

// featureRelease reads 17 from the output of `java -version` of a Java 17.
func featureRelease(out []byte) (int, error) {
	found := javaVersion.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("no version in %q", process.LastLines(out, tailLines))
	}
	digits := found[1]
	if string(digits) == "1" && found[2] != nil {
		digits = found[2]
	}
	return strconv.Atoi(string(digits))
}

// brokerClass is the broker's main class.
const brokerClass = "kafka.Kafka"

// A jvm is how a Java program of Kafka's is run.
type jvm struct {
	java      string
	version   string
	classPath string
	heapMB    int
	classes   string // the archive to read (classArchive), or ""
	train     string // the archive that a broker writes when it ends, or ""
}

// command runs mainClass in dir, which has its log4j2.properties and tmp/.
// The flags trade peak speed for a quick start on few cores: only the first
// compiler tier, the serial collector. The environment is ours, but for what
// a JVM or Kafka would take options or secrets from.
func (vm jvm) command(ctx context.Context, dir, mainClass string, args ...string) *exec.Cmd {
	flags := []string{
		fmt.Sprintf("-Xmx%dm", vm.heapMB),
		"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError",
		"-Djava.awt.headless=true",
		"-Djava.io.tmpdir=" + filepath.Join(dir, "tmp"),
		"-Dlog4j2.configurationFile=" + filepath.Join(dir, "log4j2.properties"),
	}
	switch {
	case vm.classes != "":
		flags = append(flags, "-XX:SharedArchiveFile="+vm.classes, "-Xlog:cds=off", "-Xlog:class+path=off") // one that does not fit is not used
	case vm.train != "" && mainClass == brokerClass:
		flags = append(flags, "-XX:ArchiveClassesAtExit="+vm.train)
	}
	flags = append(flags, "-cp", vm.classPath, mainClass)
	cmd := exec.CommandContext(ctx, vm.java, append(flags, args...)...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	return cmd
}

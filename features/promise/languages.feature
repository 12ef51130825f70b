Feature: Code in languages whose programs end

  Background:
    Given a node

  Scenario Outline: Each piece of code is a program, and files stay
    Given a session of "<lang>"
    When it executes "<writes>"
    Then the code printed "hello 42"
    When it executes "<reads>"
    Then the code printed "kept"

    Examples:
      | lang | writes | reads |
      | go   | package main; import ("fmt"; "os"); func main() { os.WriteFile("f", []byte("kept"), 0644); fmt.Println("hello", 6*7) } | package main; import ("fmt"; "os"); func main() { b, _ := os.ReadFile("f"); fmt.Println(string(b)) } |
      | c++  | #include <fstream>\\n#include <iostream>\\nint main() { std::ofstream("f") << "kept"; std::cout << "hello " << 6 * 7 << std::endl; } | #include <fstream>\\n#include <iostream>\\nint main() { std::string s; std::ifstream("f") >> s; std::cout << s << std::endl; } |
      | java | import java.nio.file.*; class Main { public static void main(String[] a) throws Exception { Files.writeString(Path.of("f"), "kept"); System.out.println("hello " + 6 * 7); } } | import java.nio.file.*; class Main { public static void main(String[] a) throws Exception { System.out.println(Files.readString(Path.of("f"))); } } |
      | ruby | File.write("f", "kept"); puts "hello #{6 * 7}" | puts File.read("f") |
      | r    | writeLines("kept", "f"); cat("hello", 6 * 7, fill = TRUE) | cat(readLines("f"), fill = TRUE) |
      | rust | fn main() { std::fs::write("f", "kept").unwrap(); println!("hello {}", 6 * 7); } | fn main() { println!("{}", std::fs::read_to_string("f").unwrap()); } |

  Scenario Outline: What does not build is not run
    Given a session of "<lang>"
    When it executes "<good>"
    And it executes "<bad>"
    Then the code failed with 1 and the word "<word>"

    Examples:
      | lang | good                         | bad                              | word      |
      | go   | package main; func main() {} | package main; func main() { x }  | undefined |
      | cpp  | int main() {}                | int main() { x; }                | declared  |
      | rust | fn main() {}                 | fn main() { x }                  | E0425     |
      | java | class A { public static void main(String[] a) {} } | class A { int x = y; } | symbol |

  Scenario: The exit code is the program's
    Given a session of "go"
    When it executes "package main; import "os"; func main() { os.Exit(3) }"
    Then the code failed with 3 and ""

  Scenario: A missing toolchain is told by its name and the image's
    Given a node whose Go is the image without one
    And a session of "golang"
    When it executes "package main; func main() {}"
    Then the code failed with 127 and "go needs go, which is not in the image localhost/pinfold/base:latest"

  Scenario Outline: A loop without end is ended in time, and the session goes on
    Given a session of "<lang>"
    When it executes "<loop>" for at most 10 seconds
    Then the code ended as "timeout" with 124
    When it executes "<after>"
    Then the code printed "on"

    Examples:
      | lang | loop                                | after                                   |
      | cpp  | int main() { for (volatile int i = 0;; i++); } | #include <cstdio>\\nint main() { puts("on"); } |
      | ruby | loop {}                             | puts "on"                               |

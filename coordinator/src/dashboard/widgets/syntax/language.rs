//! Which language a file is in, and what that has for words.

use std::path::Path;

/// A family of languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// JavaScript and TypeScript.
    Script,
    /// Go.
    Go,
    /// C, C++, Java and what looks like them.
    C,
    /// Shells, Make, Docker.
    Shell,
    /// TOML, YAML, INI.
    Settings,
    /// JSON.
    Json,
    /// CSS.
    Css,
    /// SQL and Lua: `--` begins a comment.
    Dashes,
}

impl Language {
    /// By the file's name.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        match name.as_str() {
            "makefile" | "dockerfile" | "justfile" | ".bashrc" | ".profile" | ".gitignore"
            | ".dockerignore" | ".env" => return Some(Self::Shell),
            "cargo.lock" | ".editorconfig" | ".gitconfig" => return Some(Self::Settings),
            _ => {}
        }
        let (_, extension) = name.rsplit_once('.')?;
        Some(match extension {
            "rs" => Self::Rust,
            "py" | "pyi" | "rb" => Self::Python,
            "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "vue" | "svelte" => Self::Script,
            "go" => Self::Go,
            "c" | "h" | "cc" | "cpp" | "cxx" | "hpp" | "hh" | "java" | "kt" | "kts" | "cs"
            | "swift" | "scala" | "php" | "dart" | "zig" | "proto" => Self::C,
            "sh" | "bash" | "zsh" | "fish" | "mk" => Self::Shell,
            "toml" | "yaml" | "yml" | "ini" | "cfg" | "conf" | "service" => Self::Settings,
            "json" | "jsonc" | "json5" => Self::Json,
            "css" | "scss" | "less" => Self::Css,
            "sql" | "lua" | "hs" => Self::Dashes,
            _ => return None,
        })
    }

    pub(super) fn line_comment(self) -> &'static str {
        match self {
            Self::Rust | Self::Script | Self::Go | Self::C | Self::Json => "//",
            Self::Python | Self::Shell | Self::Settings => "#",
            Self::Dashes => "--",
            Self::Css => "",
        }
    }

    pub(super) fn block_comments(self) -> bool {
        matches!(
            self,
            Self::Rust | Self::Script | Self::Go | Self::C | Self::Css | Self::Json
        )
    }

    #[rustfmt::skip]
    pub(super) fn keywords(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &[
                "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else",
                "enum", "extern", "false", "fn", "for", "if", "impl", "in", "let", "loop", "match",
                "mod", "move", "mut", "pub", "ref", "return", "self", "Self", "static", "struct",
                "super", "trait", "true", "type", "unsafe", "use", "where", "while",
            ],
            Self::Python => &[
                "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
                "elif", "else", "end", "except", "False", "finally", "for", "from", "global", "if",
                "import", "in", "is", "lambda", "module", "None", "nonlocal", "not", "or", "pass",
                "raise", "return", "self", "True", "try", "while", "with", "yield",
            ],
            Self::Script => &[
                "as", "async", "await", "break", "case", "catch", "class", "const", "continue",
                "default", "delete", "do", "else", "enum", "export", "extends", "false", "finally",
                "for", "from", "function", "if", "implements", "import", "in", "instanceof",
                "interface", "let", "new", "null", "of", "private", "protected", "public",
                "readonly", "return", "static", "super", "switch", "this", "throw", "true", "try",
                "type", "typeof", "undefined", "var", "void", "while", "yield",
            ],
            Self::Go => &[
                "break", "case", "chan", "const", "continue", "default", "defer", "else", "false",
                "fallthrough", "for", "func", "go", "goto", "if", "import", "interface", "map",
                "nil", "package", "range", "return", "select", "struct", "switch", "true", "type",
                "var",
            ],
            Self::C => &[
                "abstract", "auto", "bool", "break", "case", "catch", "char", "class", "const",
                "continue", "default", "delete", "do", "double", "else", "enum", "extends",
                "extern", "false", "final", "finally", "float", "for", "fun", "if", "implements",
                "import", "inline", "int", "interface", "long", "message", "namespace", "new",
                "null", "nullptr", "override", "package", "private", "protected", "public",
                "return", "short", "signed", "sizeof", "static", "struct", "super", "switch",
                "template", "this", "throw", "true", "try", "typedef", "union", "unsigned", "using",
                "val", "var", "virtual", "void", "volatile", "while",
            ],
            Self::Shell => &[
                "case", "do", "done", "elif", "else", "esac", "exit", "export", "fi", "for",
                "function", "if", "in", "local", "return", "then", "until", "while", "ARG", "CMD",
                "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "RUN", "USER", "WORKDIR",
            ],
            Self::Settings | Self::Json => &[
                "true", "false", "null", "yes", "no", "on", "off",
            ],
            Self::Css => &[
                "important",
            ],
            Self::Dashes => &[
                "and", "as", "AND", "AS", "BY", "CREATE", "DELETE", "do", "else", "elseif", "end",
                "false", "for", "FROM", "function", "GROUP", "if", "in", "INSERT", "INTO", "JOIN",
                "local", "nil", "not", "NOT", "NULL", "ON", "OR", "or", "ORDER", "repeat", "return",
                "SELECT", "SET", "TABLE", "then", "true", "until", "UPDATE", "VALUES", "WHERE",
                "while",
            ],
        }
    }
}

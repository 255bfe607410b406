//! What is written for people must say what the program does.

use std::path::Path;
use std::process::Command;

use airlock::runtime::limits::{Limit, Limits};
use airlock::tenant::quota::{Quota, Quotas};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|reason| panic!("{}: {reason}", path.display()))
}

#[test]
fn the_readme_lists_every_limit_and_quota_with_its_default() {
    let readme = read("README.md");
    let (limits, quotas) = (Limits::default(), Quotas::default());
    let limits = Limit::ALL.iter().map(|limit| (limit.name(), limit.show(limits.get(*limit))));
    let quotas = Quota::ALL.iter().map(|quota| (quota.name(), quota.show(quotas.get(*quota))));
    let missing: Vec<String> = limits
        .chain(quotas)
        .map(|(name, default)| format!("| `{name}` | {default} |"))
        .filter(|row| !readme.contains(row))
        .collect();
    assert!(missing.is_empty(), "README.md lacks these rows:\n{}", missing.join("\n"));
}

/// Every function that a script finds is declared for editors.
#[test]
fn the_declarations_cover_what_scripts_see() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("list.js");
    // Every object of ours, and its functions. A class or an object of the
    // language itself begins with a capital letter.
    let source = "function main() {
        const own = Object.getOwnPropertyNames(globalThis).filter((name) => /^[a-z]/.test(name) && name !== 'main');
        const language = ['parseInt', 'parseFloat', 'isNaN', 'isFinite', 'decodeURI', 'decodeURIComponent', 'encodeURI',
            'encodeURIComponent', 'escape', 'unescape', 'undefined', 'eval', 'globalThis'];
        const under = (value) => Object.entries(value).flatMap(([name, inner]) =>
            typeof inner === 'object' && inner !== null ? [name, ...under(inner)] : [name]);
        return own.filter((name) => !language.includes(name)).flatMap((name) => {
            const value = globalThis[name];
            return typeof value === 'object' && name !== 'context' && name !== 'services' ? [name, ...under(value)] : [name];
        });
    }";
    std::fs::write(&script, source).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_airlock")).arg("run").arg(&script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(names.iter().any(|name| name == "timingSafeEqual"), "{names:?}");

    let declarations: String = ["airlock.d.ts".to_owned()]
        .into_iter()
        .chain(
            ["context", "db", "events", "http", "log", "progress", "secrets", "services", "storage", "tasks", "utils"]
                .map(|name| format!("{name}/{name}.d.ts")),
        )
        .map(|path| read(&format!("guest/src/{path}")))
        .collect();
    let declared = |name: &str| {
        declarations.match_indices(name).any(|(at, _)| {
            let before = declarations[..at].chars().next_back();
            let after = declarations[at + name.len()..].chars().next();
            before.is_some_and(char::is_whitespace) && after.is_some_and(|after| "(<:".contains(after))
        })
    };
    let missing: Vec<&String> = names.iter().filter(|name| !declared(name)).collect();
    assert!(missing.is_empty(), "guest/src/*/*.d.ts do not declare {missing:?}");
}

//! Lays out the folder of a new connector: a small source that compiles and replays, to be changed into the real one.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// `(path below the connector's folder, template)`. `{{name}}`, `{{Title}}` and `{{Type}}` stand for the name.
const FILES: &[(&str, &str)] = &[
    ("manifest.toml", include_str!("../templates/connector/manifest.toml")),
    ("mod.rs", include_str!("../templates/connector/mod.rs.txt")),
    ("exchanges/pull.http", include_str!("../templates/connector/pull.http")),
];

pub(crate) fn new_connector(root: &Path, name: &str) -> Result<()> {
    let files = render(name)?;
    let folder = root.join("crates/connectors/src").join(name);
    if folder.exists() {
        bail!("{} is there already", folder.display());
    }
    for (path, text) in files {
        let path = folder.join(path);
        let parent = path.parent().context("a file lies in a folder")?;
        std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    println!(
        "crates/connectors/src/{name}: manifest.toml, mod.rs, exchanges/pull.http\n\n\
         Add to crates/connectors/src/lib.rs:\n    mod {name};\n    {name}::connector,    (in ALL)\n\n\
         Then: write the manifest, the code and a recorded conversation, and run\n    cargo test -p connectors"
    );
    Ok(())
}

/// The files of a connector of this name: paths below its folder, and texts.
fn render(name: &str) -> Result<Vec<(&'static str, String)>> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) || name.len() > 40 {
        bail!("`{name}`: a connector's name is a module's: lower-case letters, digits and `_`, at most 40");
    }
    let words: Vec<String> = name.split('_').filter(|word| !word.is_empty()).map(capitalised).collect();
    let fill = |template: &str| {
        let text = template.replace("{{name}}", name);
        text.replace("{{Title}}", &words.join(" ")).replace("{{Type}}", &words.concat())
    };
    Ok(FILES.iter().map(|(path, template)| (*path, fill(template))).collect())
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_everywhere() {
        let files = render("defender_xdr").unwrap();
        let text = |path: &str| &files.iter().find(|(there, _)| *there == path).unwrap().1;
        for (path, text) in &files {
            assert!(!text.contains("{{n") && !text.contains("{{T"), "{path}: {text}");
        }
        let manifest: toml::Table = text("manifest.toml").parse().unwrap();
        assert_eq!(manifest["name"].as_str(), Some("defender_xdr"));
        assert_eq!(manifest["title"].as_str(), Some("Defender Xdr"));
        assert!(text("mod.rs").contains("impl Connector for DefenderXdr {"));
        let url = manifest["setting"][0]["default"].as_str().unwrap();
        assert!(
            text("exchanges/pull.http").contains(&format!("GET {url}\n")),
            "the exchange answers the default address"
        );
    }

    #[test]
    fn names_that_are_no_module_are_refused() {
        for name in ["", "Feodo", "feo-do", "../feodo", "1feodo", "_x", &"a".repeat(41)] {
            assert!(render(name).is_err(), "{name}");
        }
    }
}

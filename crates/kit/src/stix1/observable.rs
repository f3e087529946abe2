//! What a CybOX observable names exactly.

use super::{is_true, local};
use crate::xml::Element;
use intel::IndicatorKind;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Atom {
    pub(super) kind: Option<IndicatorKind>,
    pub(super) value: String,
}

/// What an observable comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) atoms: Vec<Atom>,
    /// One reason for each thing that is no candidate.
    pub(super) filtered: Vec<&'static str>,
    /// Ids of observables and objects that say the rest.
    pub(super) references: Vec<String>,
}

const UNMAPPABLE: &str = "unmappable";
const UNSUPPORTED: &str = "unsupported kind";

impl Found {
    /// Of one observable.
    pub(super) fn of(element: &Element) -> Found {
        let mut found = Found::default();
        found.observable(element, 0);
        found
    }

    /// Roughly what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let atoms = self.atoms.iter().map(|atom| atom.value.len() + 40).sum::<usize>();
        atoms + self.references.iter().map(|id| id.len() + 24).sum::<usize>() + self.filtered.len() * 16
    }

    fn filter(&mut self, reason: &'static str) {
        self.filtered.push(reason);
    }

    /// Adds what an observable names. The reader bounds its depth.
    pub(super) fn observable(&mut self, element: &Element, depth: usize) {
        if is_true(element.attribute("negate")) {
            return self.filter(UNMAPPABLE);
        }
        if let Some(id) = element.attribute("idref") {
            return self.references.push(id.to_owned());
        }
        if let Some(composition) = element.child("Observable_Composition") {
            return self.composition(composition, depth);
        }
        match element.child("Object") {
            Some(object) => match object.attribute("idref") {
                Some(id) => self.references.push(id.to_owned()),
                // Related objects say where it was found, not what to look for.
                None => match object.child("Properties") {
                    Some(properties) => self.properties(properties),
                    None => self.filter(UNMAPPABLE),
                },
            },
            None => self.filter(UNMAPPABLE),
        }
    }

    fn composition(&mut self, element: &Element, depth: usize) {
        let parts: Vec<&Element> = element.children.iter().filter(|child| child.name() == "Observable").collect();
        let or = element.attribute("operator").is_some_and(|word| word.eq_ignore_ascii_case("or"));
        if or || parts.len() == 1 {
            return parts.into_iter().for_each(|part| self.observable(part, depth + 1));
        }
        // All must hold: one file told by hashes of different kinds is the one case where each says the same.
        let mut all = Found::default();
        parts.iter().for_each(|part| all.observable(part, depth + 1));
        let mut kinds: Vec<Option<IndicatorKind>> = all.atoms.iter().map(|atom| atom.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let hashes = kinds.iter().all(|kind| kind.is_some_and(is_hash));
        let one_file = hashes && kinds.len() == all.atoms.len() && !parts.is_empty();
        if one_file && all.filtered.is_empty() && all.references.is_empty() {
            self.atoms.extend(all.atoms);
        } else {
            self.filter(UNMAPPABLE);
        }
    }

    fn properties(&mut self, element: &Element) {
        let kind = element.attribute("xsi:type").map_or("", local);
        match kind {
            "AddressObjectType" => self.address(element),
            "DomainNameObjectType" => {
                if is_type(element, "TLD") {
                    return self.filter(UNSUPPORTED);
                }
                self.only(element, &["Value"], Some(IndicatorKind::Domain));
            }
            "HostnameObjectType" => self.only(element, &["Hostname_Value"], Some(IndicatorKind::Domain)),
            "URIObjectType" | "LinkObjectType" => self.uri(element),
            "FileObjectType"
            | "WindowsExecutableFileObjectType"
            | "WindowsFileObjectType"
            | "PDFFileObjectType"
            | "UnixFileObjectType"
            | "ImageFileObjectType"
            | "ArchiveFileObjectType" => self.file(element),
            "EmailMessageObjectType" => self.email(element),
            "MutexObjectType" | "WindowsMutexObjectType" | "UnixMutexObjectType" => {
                self.only(element, &["Name"], Some(IndicatorKind::Mutex));
            }
            "ASObjectType" => match ["Number", "Handle"].iter().find_map(|name| element.child(name)) {
                Some(field) => self.field(field, Some(IndicatorKind::Asn)),
                None => self.filter(UNMAPPABLE),
            },
            "HTTPSessionObjectType" => self.http(element),
            "SocketAddressObjectType" => self.socket(element),
            "X509CertificateObjectType" | "NetworkConnectionObjectType" => self.filter(UNMAPPABLE),
            _ => self.filter(UNSUPPORTED),
        }
    }

    fn address(&mut self, element: &Element) {
        let kind = match element.attribute("category").unwrap_or("ipv4-addr").trim() {
            // One hint for all address kinds: the text decides which it is.
            "ipv4-addr" | "ipv4-net" | "ipv6-addr" | "ipv6-net" | "cidr" => IndicatorKind::Ipv4,
            "e-mail" => IndicatorKind::Email,
            "asn" => IndicatorKind::Asn,
            "ipv4-netmask" | "ipv4-net-mask" | "ipv6-netmask" | "ipv6-net-mask" => return self.filter(UNMAPPABLE),
            _ => return self.filter(UNSUPPORTED),
        };
        self.only(element, &["Address_Value"], Some(kind));
    }

    fn uri(&mut self, element: &Element) {
        let Some(field) = element.child("Value") else { return self.filter(UNMAPPABLE) };
        let kind = if is_type(element, "Domain Name") {
            Some(IndicatorKind::Domain)
        } else if is_type(element, "General URN") {
            return self.filter(UNSUPPORTED);
        } else if field.text.contains(':') || is_type(element, "URL") {
            Some(IndicatorKind::Url)
        } else {
            None
        };
        self.field(field, kind);
    }

    /// A file is known by its hashes; a name, a size or a place beside them is told of the same file. Without a hash a
    /// name says something only if it stands alone.
    fn file(&mut self, element: &Element) {
        let hashes = element.child("Hashes").map_or(&[][..], |list| &list.children);
        if hashes.is_empty() {
            return self.only(element, &["File_Name"], Some(IndicatorKind::Filename));
        }
        let mut any = false;
        for hash in hashes {
            let Some(field) = hash.child("Simple_Hash_Value") else { continue };
            any = true;
            let kind = match hash.child_text("Type").map(|name| name.to_ascii_uppercase().replace('-', "")).as_deref() {
                Some("MD5") => Some(IndicatorKind::Md5),
                Some("SHA1") => Some(IndicatorKind::Sha1),
                Some("SHA256") => Some(IndicatorKind::Sha256),
                Some("SHA512") => Some(IndicatorKind::Sha512),
                None | Some("OTHER") => match field.text.trim().len() {
                    32 => Some(IndicatorKind::Md5),
                    40 => Some(IndicatorKind::Sha1),
                    64 => Some(IndicatorKind::Sha256),
                    128 => Some(IndicatorKind::Sha512),
                    _ => None,
                },
                Some(_) => None,
            };
            match kind {
                Some(kind) => self.field(field, Some(kind)),
                None => self.filter(UNSUPPORTED),
            }
        }
        if !any {
            self.filter(UNSUPPORTED);
        }
    }

    /// A sender. A subject, a recipient or an attachment beside it must hold together with it.
    fn email(&mut self, element: &Element) {
        let header = element.child("Header");
        let others = element.children.iter().any(|child| child.name() != "Header");
        let Some(header) = header.filter(|_| !others) else { return self.filter(UNMAPPABLE) };
        let told = ["From", "Sender", "Date", "Message_ID"];
        let mut senders = header.children.iter().filter(|child| matches!(child.name(), "From" | "Sender"));
        let (sender, more) = (senders.next(), senders.next());
        match sender.and_then(|sender| sender.child("Address_Value")) {
            Some(field) if more.is_none() && header.children.iter().all(|child| told.contains(&child.name())) => {
                self.field(field, Some(IndicatorKind::Email));
            }
            _ => self.filter(UNMAPPABLE),
        }
    }

    fn http(&mut self, element: &Element) {
        // The only thing said must be the agent: a path of only children leads to it.
        let mut at = element;
        while let [only] = at.children.as_slice() {
            at = only;
        }
        if at.name() == "User_Agent" {
            self.field(at, Some(IndicatorKind::UserAgent));
        } else {
            self.filter(UNMAPPABLE);
        }
    }

    /// An address with its port, which is noted; a name without it.
    fn socket(&mut self, element: &Element) {
        let address = element.child("IP_Address").and_then(|address| address.child("Address_Value"));
        let name = element.child("Hostname").and_then(|name| name.child("Hostname_Value"));
        match (address, name) {
            (Some(field), None) => self.field(field, Some(IndicatorKind::Ipv4)),
            (None, Some(field)) => self.field(field, Some(IndicatorKind::Domain)),
            _ => self.filter(UNMAPPABLE),
        }
    }

    /// A property that is the whole of what the object says.
    fn only(&mut self, element: &Element, names: &[&str], kind: Option<IndicatorKind>) {
        let mut fields = element.children.iter();
        match (fields.next(), fields.next()) {
            (Some(field), None) if names.contains(&field.name()) => self.field(field, kind),
            _ => self.filter(UNMAPPABLE),
        }
    }

    /// The values of a property, if it names them exactly.
    fn field(&mut self, field: &Element, kind: Option<IndicatorKind>) {
        let exact = field.attribute("condition").is_none_or(|word| word.trim().eq_ignore_ascii_case("equals"));
        let masked = ["bit_mask", "pattern_type", "regex_syntax"].iter().any(|name| field.attribute(name).is_some());
        let delimiter = field.attribute("delimiter").filter(|text| !text.is_empty()).unwrap_or("##comma##");
        let values: Vec<&str> = field.text.split(delimiter).map(str::trim).filter(|text| !text.is_empty()).collect();
        let any = field.attribute("apply_condition").is_none_or(|word| word.eq_ignore_ascii_case("any"));
        if !exact || masked || (values.len() > 1 && !any) {
            return self.filter(UNMAPPABLE);
        }
        if values.is_empty() {
            return self.filter("no value");
        }
        self.atoms.extend(values.into_iter().map(|value| Atom { kind, value: value.to_owned() }));
    }
}

fn is_type(element: &Element, word: &str) -> bool {
    element.attribute("type").is_some_and(|value| value.trim().eq_ignore_ascii_case(word))
}

fn is_hash(kind: IndicatorKind) -> bool {
    matches!(kind, IndicatorKind::Md5 | IndicatorKind::Sha1 | IndicatorKind::Sha256 | IndicatorKind::Sha512)
}

use super::*;

/// In the shape of the example in RFC 5854 section 1.1, whose digest is printed cut.
const OF_THE_RFC: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <published>2009-05-15T12:23:23Z</published>
  <file name="example.ext">
    <size>14471447</size>
    <identity>Example</identity>
    <version>1.0</version>
    <language>en</language>
    <description>
    A description of the example file for download.
    </description>
    <hash type="sha-256">f0ad929cd259957e160ea442eb80986b5f
    </hash>
  </file>
</metalink>"#;

/// As MirrorBrain writes them: pieces, a signature, torrents, and mirrors in many countries.
const OF_MIRRORBRAIN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <generator>MirrorBrain/2.19.0</generator>
  <origin dynamic="true">https://download.example.org/iso/Leap.iso.meta4</origin>
  <published>2024-06-12T10:00:00Z</published>

  <publisher>
    <name>openSUSE</name>
    <url>https://download.example.org</url>
  </publisher>

  <file name="Leap.iso">
    <size>1000000</size>
    <!-- <verification> -->
    <hash type="md5">900150983cd24fb0d6963f7d28e17f72</hash>
    <hash type="sha-1">a9993e364706816aba3e25717850c26c9cd0d89d</hash>
    <hash type="sha-256">BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD</hash>
    <hash type="sha-224">23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7</hash>
    <signature mediatype="application/pgp-signature">-----BEGIN PGP SIGNATURE-----
=AbCd
-----END PGP SIGNATURE-----</signature>
    <pieces length="262144" type="sha-1">
      <hash>a9993e364706816aba3e25717850c26c9cd0d89d</hash>
      <hash>a9993e364706816aba3e25717850c26c9cd0d89e</hash>
      <hash>a9993e364706816aba3e25717850c26c9cd0d89f</hash>
      <hash>a9993e364706816aba3e25717850c26c9cd0d890</hash>
    </pieces>
    <pieces length="1000" type="zsync"><hash>00</hash></pieces>
    <metaurl priority="1" mediatype="torrent">https://download.example.org/iso/Leap.iso.torrent</metaurl>
    <url location="us" priority="3">http://us.example/Leap.iso</url>
    <url location="DE" priority="1">https://de.example/Leap.iso?a=1&amp;b=2#top</url>
    <url priority="1">https://de2.example/Leap.iso</url>
    <url location="at" priority="2">ftp://at.example/Leap.iso</url>
    <url>magnet:?xt=urn:btih:canary</url>
    <url>
      http://last.example/Leap.iso
    </url>
    <url priority="9">http://us.example/Leap.iso</url>
  </file>
</metalink>
"#;

/// With prefixes, foreign elements of the same names, comments, CDATA and references.
const WITH_PREFIXES: &str = "\u{feff}<?xml version='1.0'?>
<?stylesheet none?>
<m:metalink xmlns:m='urn:ietf:params:xml:ns:metalink' xmlns='https://example.org/other'>
  <file name='foreign.bin'><url>https://foreign.example/</url></file>
  <m:file name='a&#x20;b &amp; c.bin'>
    <size>foreign</size>
    <m:size> <!-- seven --> <![CDATA[7]]> </m:size>
    <m:url xmlns:x='x' x:priority='1' m:priority='1'>https://x.example/<!-- in between -->a<b>no</b>&#98;</m:url>
    <m:file><m:url>https://inner.example/</m:url></m:file>
  </m:file>
  <m:file name='two'/>
</m:metalink>
<!-- the end -->
";

fn file_with(inner: &str) -> Result<Vec<MetalinkFile>, MetalinkError> {
    read(document(&format!("<file name=\"a\">\n{inner}</file>")).as_bytes())
}

fn document(inner: &str) -> String {
    format!("<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">{inner}</metalink>")
}

fn problem(read: Result<Vec<MetalinkFile>, MetalinkError>) -> MetalinkProblem {
    read.expect_err("a mistake").problem
}

fn urls(file: &MetalinkFile) -> Vec<(&str, u32, Option<&str>)> {
    file.urls.iter().map(|url| (url.url.as_str(), url.priority, url.location.as_deref())).collect()
}

#[test]
fn the_rfcs_own_shape_is_read_and_a_wrong_digest_named() {
    let error = read(OF_THE_RFC.as_bytes()).expect_err("the digest is cut");
    assert_eq!(error.to_string(), "line 12: `hash` must have 64 hexadecimal digits for sha-256");
    let whole = OF_THE_RFC.replace("f0ad929cd259957e160ea442eb80986b5f", &"f0".repeat(32));
    let files = read(whole.as_bytes()).expect("a Metalink");
    let expected = MetalinkFile {
        name: "example.ext".to_owned(),
        size: Some(14_471_447),
        checksums: vec![format!("sha-256:{}", "f0".repeat(32)).parse().expect("a checksum")],
        pieces: None,
        urls: Vec::new(),
        urls_dropped: 0,
    };
    assert_eq!(files, [expected]);
}

#[test]
fn a_metalink_of_real_life_is_read() {
    let files = read(OF_MIRRORBRAIN.as_bytes()).expect("a Metalink");
    let [file] = &files[..] else { panic!("one file, not {files:?}") };
    assert_eq!((file.name.as_str(), file.size, file.urls_dropped), ("Leap.iso", Some(1_000_000), 2));
    let kinds: Vec<_> = file.checksums.iter().map(Checksum::kind).collect();
    assert_eq!(kinds, [ChecksumKind::Sha256, ChecksumKind::Sha1, ChecksumKind::Md5]);
    let pieces = file.pieces.as_ref().expect("pieces");
    assert_eq!((pieces.kind, pieces.length, pieces.checksums.len()), (ChecksumKind::Sha1, 262_144, 4));
    assert!(pieces.checksums[3].to_string().ends_with("d890"));
    let expected = [
        ("https://de.example/Leap.iso?a=1&b=2", 1, Some("de")),
        ("https://de2.example/Leap.iso", 1, None),
        ("http://us.example/Leap.iso", 3, Some("us")),
        ("http://last.example/Leap.iso", 999_999, None),
    ];
    assert_eq!(urls(file), expected);
}

#[test]
fn prefixes_foreign_elements_comments_and_references_are_understood() {
    let files = read(WITH_PREFIXES.as_bytes()).expect("a Metalink");
    let [first, second] = &files[..] else { panic!("two files, not {files:?}") };
    assert_eq!((first.name.as_str(), first.size), ("a b & c.bin", Some(7)));
    assert_eq!(urls(first), [("https://x.example/ab", 999_999, None)]);
    assert_eq!((second.name.as_str(), second.urls.len()), ("two", 0));
}

#[test]
fn hostile_names_lose_their_directories_or_are_refused() {
    let name = |name: &str| read(document(&format!("\n<file name=\"{name}\"/>")).as_bytes());
    for (hostile, safe) in [
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\windows\\a.dll", "a.dll"),
        ("dir/file.iso", "file.iso"),
        (".bashrc", "bashrc"),
        ("-rf", "_-rf"),
        ("CON", "_CON"),
        ("a.haul-part", "a_"),
        ("a&#10;b&#x202e;c&#x1b;", "a_b_c_"),
        ("%2e%2e%2fx", "%2e%2e%2fx"),
    ] {
        assert_eq!(name(hostile).map(|files| files[0].name.clone()), Ok(safe.to_owned()), "{hostile}");
    }
    assert_eq!(name(&"é".repeat(9_000)).expect("a long name")[0].name.len(), 228);
    for hostile in ["", " ", "..", "/", "a/", "../..", "&#x2e;&#x2e;"] {
        let error = name(hostile).expect_err("no name is left");
        assert_eq!((error.line, error.problem), (2, MetalinkProblem::Name), "{hostile}");
    }
    assert_eq!(problem(read(document("<file/>").as_bytes())), MetalinkProblem::Name);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (inner, line, problem) in [
        ("<size>many</size>", 2, MetalinkProblem::Size),
        ("\n<size>-1</size>", 3, MetalinkProblem::Size),
        ("<size/>", 2, MetalinkProblem::Size),
        ("<size>9223372036854775808</size>", 2, MetalinkProblem::Size),
        ("<size>1.5</size>", 2, MetalinkProblem::Size),
        ("\n\n<hash type='md5'>\n\n0</hash>", 4, MetalinkProblem::Hash { kind: ChecksumKind::Md5 }),
        ("<hash type='SHA-512'>zz</hash>", 2, MetalinkProblem::Hash { kind: ChecksumKind::Sha512 }),
        ("<pieces type='sha-1'/>", 2, MetalinkProblem::Pieces),
        ("<pieces type='sha-1' length='0'/>", 2, MetalinkProblem::Pieces),
        ("<size>1</size>\n<pieces type='md5' length='1'/>", 3, MetalinkProblem::Pieces),
        ("<pieces type='md5' length='1'><hash>0</hash></pieces>", 2, MetalinkProblem::Hash { kind: ChecksumKind::Md5 }),
        ("<url>https://a/?x=1&canary=2</url>", 2, MetalinkProblem::Reference),
        ("<url>https://a/?x=1&canary;</url>", 2, MetalinkProblem::Reference),
        ("<url priority='&canary;'>https://a/</url>", 2, MetalinkProblem::Reference),
        ("<identity>&#0;</identity>", 2, MetalinkProblem::Reference),
        ("<url>https://a/</canary>", 2, MetalinkProblem::Tags),
        ("<url priority>https://a/</url>", 2, MetalinkProblem::Malformed),
        ("<x xmlns:xml='canary'/>", 2, MetalinkProblem::Malformed),
    ] {
        let error = file_with(inner).expect_err(inner);
        assert_eq!((error.line, error.problem), (line, problem), "{inner}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[test]
fn what_is_no_metalink_4_is_told_apart() {
    for (document, problem) in [
        ("", MetalinkProblem::NotMetalink),
        ("   ", MetalinkProblem::NotMetalink),
        ("https://a/file", MetalinkProblem::NotMetalink),
        ("{\"url\": 1}", MetalinkProblem::NotMetalink),
        ("<html><body/></html>", MetalinkProblem::NotMetalink),
        ("<metalink><file name='a'/></metalink>", MetalinkProblem::NotMetalink),
        ("<metalink version='3.0' xmlns='http://www.metalinker.org/'><files/></metalink>", MetalinkProblem::Version3),
        ("<m:metalink xmlns:m='http://www.metalinker.org/'/>", MetalinkProblem::Version3),
        ("<metalink xmlns='urn:ietf:params:xml:ns:metalink'/>", MetalinkProblem::NoFile),
        ("<metalink xmlns='urn:ietf:params:xml:ns:metalink'/><file/>", MetalinkProblem::Malformed),
        ("<metalink xmlns='urn:ietf:params:xml:ns:metalink'/>more", MetalinkProblem::Malformed),
    ] {
        assert_eq!(problem_of(document), problem, "{document}");
    }
    assert_eq!(problem(read(b"<metalink>\xff</metalink>")), MetalinkProblem::NotUtf8);
    assert_eq!(
        problem(read("\u{feff}<".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>().as_slice())),
        MetalinkProblem::NotUtf8
    );
    let text = problem_of("<metalink xmlns='http://www.metalinker.org/'/>").to_string();
    assert!(text.contains("only version 4"), "{text}");
}

fn problem_of(document: &str) -> MetalinkProblem {
    problem(read(document.as_bytes()))
}

#[test]
fn entities_are_never_expanded() {
    let laughs =
        "<!DOCTYPE m [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]>".to_owned() + &document("<file name='&b;'/>");
    assert_eq!(problem_of(&laughs), MetalinkProblem::Doctype);
    let external = "<!DOCTYPE m SYSTEM \"file:///etc/passwd\">".to_owned() + &document("<file name='a'/>");
    assert_eq!(problem_of(&external), MetalinkProblem::Doctype);
    assert_eq!(problem_of(&document("<file name='&xxe;'/>")), MetalinkProblem::Reference);
    assert_eq!(problem_of(&document("<file name='a'><size>&one;</size></file>")), MetalinkProblem::Reference);
}

#[test]
fn size_and_numbers_have_bounds() {
    assert_eq!(problem(read(&vec![b' '; METALINK_BYTES_MAX + 1])), MetalinkProblem::TooLarge);
    assert_eq!(problem(read(&vec![b' '; METALINK_BYTES_MAX])), MetalinkProblem::NotMetalink);
    let files = |count: usize| document(&"<file name='a'/>".repeat(count));
    assert_eq!(read(files(FILES_MAX).as_bytes()).map(|files| files.len()), Ok(FILES_MAX));
    assert_eq!(problem_of(&files(FILES_MAX + 1)), MetalinkProblem::TooMany { element: "file", max: FILES_MAX });
    let urls = |count: usize| file_with(&"<url>ftp://a/</url>".repeat(count));
    assert_eq!(urls(URLS_MAX).expect("as many as there may be")[0].urls_dropped, URLS_MAX);
    assert_eq!(problem(urls(URLS_MAX + 1)), MetalinkProblem::TooMany { element: "url", max: URLS_MAX });
    assert_eq!(
        problem(file_with(&format!("<url>https://a/{}</url>", "a".repeat(70_000)))),
        MetalinkProblem::TextTooLong
    );
    assert_eq!(problem(file_with(&"<a>".repeat(200_000))), MetalinkProblem::TooDeep);
}

#[test]
fn a_tag_with_very_many_attributes_is_read_in_linear_time() {
    let attributes: String = (0..200_000).map(|at| format!(" a{at}=''")).collect();
    assert_eq!(read(document(&format!("<file{attributes} name='a'/>")).as_bytes()).map(|files| files.len()), Ok(1));
}

#[test]
fn urls_that_cannot_be_fetched_are_counted() {
    let file = &file_with(
        "<url>ftp://a/</url><url>magnet:?x</url><url/><url>relative</url><url>file:///etc/passwd</url><url>http://</url>\
         <url>https://a/line\nbreak</url><url location='deutschland' priority='0'>https://u:canary@a/?canary</url>",
    )
    .expect("a Metalink")[0];
    assert_eq!((file.urls.len(), file.urls_dropped), (1, 7));
    assert_eq!((file.urls[0].priority, &file.urls[0].location), (999_999, &None));
    assert!(!format!("{file:?}").contains("canary"), "{file:?}");
}

#[test]
fn a_metalink_cut_off_anywhere_is_an_error_and_no_panic() {
    for document in [OF_MIRRORBRAIN, WITH_PREFIXES] {
        let root_ends = document.rfind("metalink>").expect("a root") + "metalink>".len();
        for at in 0..root_ends {
            assert!(read(&document.as_bytes()[..at]).is_err(), "cut at {at}");
        }
        assert!(read(&document.as_bytes()[..root_ends]).is_ok());
    }
}

#[test]
fn a_metalink_with_any_byte_changed_is_no_panic() {
    let mut document = WITH_PREFIXES.as_bytes().to_vec();
    for at in 0..document.len() {
        for byte in *b"<>&;/'\"= \0\n!-[x\xff" {
            let before = std::mem::replace(&mut document[at], byte);
            if let Ok(files) = read(&document) {
                for file in files {
                    assert_eq!(haul_transfer::check_user_name(&file.name), Ok(()));
                }
            }
            document[at] = before;
        }
    }
}

//! Lists that others write to as well and that can only be replaced as a whole.

use crate::ledger::{Bench, value};
use serde_json::json;

/// A destination drops entries of others when we write (as one that cuts or rewrites lists does). It is seen in the same
/// pass, they are put back, ours that may have pushed them out are taken out again, and a person is told.
#[test]
fn f44_what_our_write_took_from_others_is_put_back() {
    for action in ["shared", "plain"] {
        let bench = Bench::new(1, &[("t", action, json!({}))]);
        for n in 0..10 {
            bench.tool(|tool| tool.others_add(&format!("theirs{n}.example.net")));
        }
        bench.feed((0..5).map(|n| (value(n), 7)));
        bench.tool(|tool| tool.eats = 3);
        let report = bench.share("t");
        assert_eq!(report.status, "failed", "{report:?}");
        assert!(report.error.unwrap().contains("3 entries of others"), "told");
        assert_eq!(bench.tool(|tool| tool.foreign().len()), 10, "{action}");
        // It was once: the next pass fills in ours.
        bench.rest("t");
        bench.tool(|tool| assert_eq!((tool.foreign().len(), tool.ours().len()), (10, 5), "{action}"));
    }
}

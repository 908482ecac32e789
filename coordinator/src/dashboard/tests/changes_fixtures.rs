//! Changes of a worker to review.

use crate::{
    model::HostPath,
    wire::{Change, ChangeKind, Changes, EntryType},
};

pub fn change(path: &str, kind: ChangeKind, added: u64, removed: u64) -> Change {
    let file = Some(EntryType::File);
    Change {
        path: HostPath::new(path),
        kind,
        before: file.filter(|_| kind != ChangeKind::Added),
        after: file.filter(|_| kind != ChangeKind::Deleted),
        mode: None,
        added: Some(added),
        removed: Some(removed),
        binary: false,
        conflict: false,
    }
}

pub fn some_changes() -> Changes {
    let mut folder = change("src/search", ChangeKind::Added, 0, 0);
    (folder.after, folder.added, folder.removed) = (Some(EntryType::Directory), None, None);
    let mut logo = change("assets/logo.png", ChangeKind::Modified, 0, 0);
    (logo.binary, logo.added, logo.removed) = (true, None, None);
    let mut script = change("scripts/run", ChangeKind::Modified, 0, 0);
    script.mode = Some((0o644, 0o755));
    let mut conflict = change("src/cart.rs", ChangeKind::Modified, 5, 3);
    conflict.conflict = true;
    Changes {
        project: HostPath::new("/home/me/shop"),
        entries: vec![
            logo,
            change("docs/old.md", ChangeKind::Deleted, 0, 120),
            script,
            conflict,
            folder,
            change(
                "src/search/deeply/nested/index_builder.rs",
                ChangeKind::Added,
                340,
                0,
            ),
            change("src/日本語.py", ChangeKind::Modified, 1, 1),
        ],
        truncated: false,
        project_missing: false,
    }
}

pub const CART: &str = "diff --git a/src/cart.rs b/src/cart.rs
--- a/src/cart.rs
+++ b/src/cart.rs
@@ -8,9 +8,10 @@ impl Cart {
     /// The sum of all items, in cents.
     pub fn total(&self) -> u64 {
-        let sum = self.items.iter().map(|i| i.price).sum();
-        sum
+        // Prices are per piece.
+        let sum = self.items.iter().map(|i| i.price * i.count).sum();
+        sum - self.discount(sum)
     }
\x20
     /// \"日本語\" and\ttabs\tand \x1b[31mescapes\x1b[m stay where they are, however long the line is: it is cut.
     pub fn len(&self) -> usize {
@@ -100,4 +101,5 @@ mod tests {
     #[test]
-    fn empty() {
+    fn an_empty_cart_costs_nothing() {
+        assert_eq!(Cart::default().total(), 0);
     }
";

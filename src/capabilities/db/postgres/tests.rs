use super::fixture::Database;
use super::{audit, protect};

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let database = Database::shop().await;
    let protection = database.protection();
    let mut admin = database.admin().await;
    let plan = protect::plan(&mut admin, &protection).await.unwrap();
    assert_eq!(plan.refusals, []);
    assert!(!plan.changes.is_empty());
    let applied = protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(applied.changes, plan.changes);
    let again = protect::apply(&mut admin, &protection).await.unwrap();
    assert_eq!(again.changes, []);
    let report = audit::audit(&mut admin, &protection).await.unwrap();
    assert_eq!(report.findings, []);
}

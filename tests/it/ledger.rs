//! What the database refuses of the ledger, and what it adds up to.

use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::harness::{CourseSpec, Site, Stores, until};

const PRICE: i64 = 1_990;

/// Inserts a transaction with these accounts and amounts, all without owners.
fn insert(accounts: &str, amounts: &str) -> String {
    format!(
        "INSERT INTO ledger_transactions (source_id, step, user_id, at, wallet_change, accounts, owners, amounts) \
         SELECT gen_random_uuid(), 5, gen_random_uuid(), now(), 0, '{accounts}', \
            array_fill(NULL::uuid, ARRAY[cardinality('{accounts}'::smallint[])]), '{amounts}'"
    )
}

async fn code_of(database: &Client, sql: &str) -> Option<String> {
    let refused = database.batch_execute(sql).await.err()?;
    Some(refused.code().unwrap().code().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_refuses_what_does_not_balance() {
    let site = Site::start().await;
    let database = site.stores.connect().await;

    for (accounts, amounts) in [
        ("{1,6}", "{-5,4}"),
        ("{1,6,7}", "{-5,4,2}"),
        ("{1,6}", "{5,5}"),
        ("{6}", "{5}"),
        ("{6}", "{0}"),
        ("{}", "{}"),
        ("{1,6}", "{-5,NULL}"),
        ("{1,6,7}", "{-5,5,NULL}"),
        ("{1,6,7}", "{-5,5,0}"),
        ("{1,77}", "{-5,5}"),
        ("{1,NULL}", "{-5,5}"),
        ("{1,6,7}", "{-5,5}"),
        ("{1,6}", "{-5,3,2}"),
        ("{1,6}", "[5:6]={1,1}"),
        ("{1,6,7,8,9}", "{-5,1,1,1,1}"),
        ("{1,6,7,8,77}", "{-4,1,1,1,1}"),
    ] {
        let refused = code_of(&database, &insert(accounts, amounts)).await;

        assert_eq!(refused.as_deref(), Some("23514"), "{accounts} {amounts}");
    }
    // Within a transaction it speaks at the end, and the whole of it is gone.
    let both = format!(
        "BEGIN; {}; {}; COMMIT",
        insert("{1,6}", "{-5,5}"),
        insert("{1,6}", "{-5,4}")
    );
    assert_eq!(code_of(&database, &both).await.as_deref(), Some("23514"));
    let rows = "SELECT count(*) FROM ledger_transactions";
    assert_eq!(site.stores.count(rows).await, 0);
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_posted_stays_also_for_the_role_that_posts() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(PRICE).await;
    buyer.buy(&[&course]).await.expect(201);
    let database = site.stores.connect().await;

    for change in [
        "UPDATE ledger_transactions SET at = now()",
        "UPDATE ledger_transactions SET amounts = amounts WHERE false",
        "DELETE FROM ledger_transactions",
        "TRUNCATE ledger_transactions",
        "UPDATE ledger_accounts SET name = 'gifts' WHERE account = 7",
        "DELETE FROM ledger_accounts",
        "DELETE FROM ledger_owners",
        "UPDATE trial_balances SET imbalance = 0",
        "DELETE FROM trial_balance_accounts",
    ] {
        let refused = database.batch_execute(change).await.unwrap_err();

        let said = refused.as_db_error().unwrap().message();
        assert!(said.contains("never changed"), "{change}: {said}");
    }
    site.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_draws_the_trial_balance_and_keeps_it() {
    let fast = ["ledger.sum_every_s=1", "ledger.balance_every_s=1"];
    let site = Site::start_with(&fast).await;
    let buyer = site.user_with(10_000).await;
    let courses = site
        .courses(&[CourseSpec::default(), CourseSpec::default()])
        .await;
    buyer.buy(&[&courses[0], &courses[1]]).await.expect(201);
    // What was posted long enough ago is summed up.
    let database = site.stores.connect().await;
    let age = "ALTER TABLE ledger_transactions DISABLE TRIGGER USER; \
        UPDATE ledger_transactions SET at = at - interval '10 minutes'; \
        UPDATE ledger_owners SET at = at - interval '10 minutes'; \
        ALTER TABLE ledger_transactions ENABLE TRIGGER USER";
    database
        .batch_execute(&format!(
            "BEGIN; ALTER TABLE ledger_owners DISABLE TRIGGER USER; {age}; ALTER TABLE ledger_owners ENABLE TRIGGER USER; \
             UPDATE ledger_closing SET summed_until = '1970-01-01'; DELETE FROM ledger_summary; COMMIT"
        ))
        .await
        .unwrap();

    let operator = site.operator().await;
    let balance = until("a trial balance over all of it is drawn", async || {
        let balance = operator
            .get("/admin/v1/ledger/trial-balance")
            .await
            .expect(200)
            .json();
        let lines = "SELECT count(*) FROM trial_balance_accounts";
        (site.stores.count(lines).await >= 4).then_some(balance)
    })
    .await;

    assert_eq!(balance["balanced"], true);
    let drawn = operator
        .get("/admin/v1/ledger/trial-balance")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&drawn["last_drawn"]["imbalance"], &drawn["last_drawn"]["drift"]),
        (&json!(0), &json!(0)),
        "{drawn}"
    );
    let wallets = drawn["accounts"].as_array().unwrap().iter();
    let wallet: Vec<&Value> = wallets.filter(|one| one["account"] == "user_wallet").collect();
    // The oracle would find out who aged the rows.
    assert_eq!(wallet[0]["balance"], 10_000 - 2 * PRICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_was_tampered_with_is_found_by_the_next_trial_balance() {
    let fast = ["ledger.sum_every_s=1", "ledger.balance_every_s=1"];
    let site = Site::start_with(&fast).await;
    let database = site.stores.connect().await;
    database
        .batch_execute(
            "BEGIN; ALTER TABLE ledger_transactions DISABLE TRIGGER USER; \
             INSERT INTO ledger_transactions (source_id, step, user_id, at, wallet_change, accounts, owners, amounts) \
             VALUES (gen_random_uuid(), 5, gen_random_uuid(), now() - interval '1 hour', 0, '{1,6}', '{NULL,NULL}', '{-5,8}'); \
             ALTER TABLE ledger_transactions ENABLE TRIGGER USER; COMMIT",
        )
        .await
        .unwrap();
    let operator = site.operator().await;

    until("the imbalance is drawn", async || {
        let balance = operator
            .get("/admin/v1/ledger/trial-balance")
            .await
            .expect(200)
            .json();
        (balance["last_drawn"]["imbalance"] == 3 && balance["balanced"] == false).then_some(())
    })
    .await;
    until("the gauge says so", async || {
        let metrics = site.client().get("/metrics").await.expect(200);
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        text.lines()
            .any(|line| line == "ledger_imbalance_minor_units 3")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_prints_the_trial_balance_and_says_by_its_exit_whether_all_is_well() {
    let site = Site::start().await;
    let buyer = site.user_with(10_000).await;
    let course = site.course(PRICE).await;
    buyer.buy(&[&course]).await.expect(201);
    let run = async || {
        let (database, redis) = (site.stores.database_url.clone(), site.stores.redis_url.clone());
        tokio::task::spawn_blocking(move || {
            Command::new(env!("CARGO_BIN_EXE_lyceum"))
                .args(["ledger", "trial-balance"])
                .env("LYCEUM__DATABASE__URL", database)
                .env("LYCEUM__REDIS__URL", redis)
                .output()
                .unwrap()
        })
        .await
        .unwrap()
    };

    let well = run().await;

    let page = String::from_utf8_lossy(&well.stdout).into_owned();
    assert!(
        well.status.success(),
        "{page} {}",
        String::from_utf8_lossy(&well.stderr)
    );
    assert!(page.contains("user_wallet") && page.contains("8010"), "{page}");
    site.stores
        .connect()
        .await
        .batch_execute("INSERT INTO ledger_summary VALUES (7, 'CNY', 5, 1)")
        .await
        .unwrap();
    let unwell = run().await;
    assert_eq!(unwell.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&unwell.stderr).contains("fees"),
        "{unwell:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_lists_every_entry_of_its_owner_by_page() {
    let site = Site::start().await;
    let operator = site.operator().await;
    let (cleo, dora) = (site.user().await, site.user().await);
    let mut courses = Vec::new();
    for creator in [&cleo, &dora, &cleo] {
        let spec = CourseSpec::default();
        courses.push(site.publish(creator, &operator, &spec).await);
    }
    let buyer = site.user_with(20_000).await;
    let alone = buyer.buy(&[&courses[0]]).await.expect(201).text("id");
    // Dora comes second in it, and Cleo has one entry for both of hers.
    let together = buyer
        .buy(&[&courses[2], &courses[1]])
        .await
        .expect(201)
        .text("id");
    buyer.refund(&together).await.expect(201);
    let share = PRICE * 7 / 10;
    let statement = async |account: &str, owner: &str, rest: &str| {
        let path = format!("/admin/v1/ledger/entries?account={account}&owner={owner}{rest}");
        operator.get(&path).await.expect(200).json()
    };
    let lines = |statement: &Value| -> Vec<(String, i64)> {
        let lines = statement["data"].as_array().unwrap().iter();
        let line = |line: &Value| {
            (
                line["kind"].as_str().unwrap().to_owned(),
                line["amount"].as_i64().unwrap(),
            )
        };
        lines.map(line).collect()
    };
    let of = |kind: &str, amount| (kind.to_owned(), amount);

    let all = statement("creator_payable", &cleo.id, "").await;
    let second = statement("creator_payable", &dora.id, "").await;
    let wallet = statement("user_wallet", &buyer.id, "&limit=2").await;

    assert_eq!(
        lines(&all),
        [of("refund", -share), of("sale", share), of("sale", share)]
    );
    assert_eq!(all["data"][2]["reference"], json!(alone));
    assert_eq!(lines(&second), [of("refund", -share), of("sale", share)]);
    assert_eq!(lines(&wallet), [of("refund", 2 * PRICE), of("sale", -2 * PRICE)]);
    let after = format!("&after={}", wallet["next"].as_str().unwrap());
    let rest = statement("user_wallet", &buyer.id, &after).await;
    assert_eq!(lines(&rest), [of("sale", -PRICE), of("top_up", 20_000)]);
    assert_eq!(rest["next"], Value::Null);
    operator
        .get(&format!(
            "/admin/v1/ledger/entries?account=fees&owner={}",
            cleo.id
        ))
        .await
        .refused(400, "http.invalid_query");
    operator
        .get(&format!(
            "/admin/v1/ledger/entries?account=gifts&owner={}",
            cleo.id
        ))
        .await
        .refused(400, "http.invalid_query");
    site.finish().await;
}

/// Ten million transactions by as many decisions as a year has: `make test ARGS="--run-ignored only -E 'test(ten_million)'"`, or
/// `cargo test -p lyceum --test it ten_million -- --ignored --nocapture`. It takes two minutes and three gigabytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement that takes two minutes and three gigabytes"]
async fn ten_million_transactions_are_added_up_in_5_s_and_a_statement_takes_50_ms() {
    let stores = Stores::create().await;
    let site = Site::start_process_over(stores, &["ledger.balance_every_s=86400"]).await;
    let operator = site.operator().await;
    let database = site.stores.connect().await;
    let fill = "SET statement_timeout = 0; SET synchronous_commit = off; SET maintenance_work_mem = '256MB'; \
        ALTER TABLE ledger_transactions DISABLE TRIGGER USER; \
        INSERT INTO ledger_transactions (source_id, step, user_id, at, wallet_change, accounts, owners, amounts) \
        SELECT (lpad(to_hex(n), 12, '0') || substr(md5(n::text), 1, 20))::uuid, 1, u, '2020-01-01'::timestamptz + n * interval '3 s', \
            -2000, CASE WHEN n % 12 = 0 THEN '{2,4,4,6}' ELSE '{2,4,6}' END::smallint[], \
            CASE WHEN n % 12 = 0 THEN ARRAY[u, c, d, NULL] ELSE ARRAY[u, c, NULL] END, \
            CASE WHEN n % 12 = 0 THEN '{-2000,700,700,600}' ELSE '{-2000,1400,600}' END::bigint[] \
        FROM (SELECT n, md5('u' || n % 400000)::uuid AS u, md5('c' || n * 7919 % 10000)::uuid AS c, \
            md5('c' || (n * 104729 + 1) % 10000)::uuid AS d FROM generate_series(1::bigint, 10000000) AS n) AS numbers; \
        INSERT INTO ledger_owners SELECT owners[3], 4, at, source_id, step FROM ledger_transactions WHERE cardinality(accounts) = 4; \
        ALTER TABLE ledger_transactions ENABLE TRIGGER USER; \
        UPDATE ledger_closing SET summed_until = '1970-01-01'; DELETE FROM ledger_summary";
    database.batch_execute(fill).await.unwrap();
    database
        .batch_execute("SET statement_timeout = 0; VACUUM ANALYZE ledger_transactions, ledger_owners")
        .await
        .unwrap();

    let began = Instant::now();
    let sums = database
        .query("SELECT balance FROM ledger_sums('1970-01-01', 'infinity')", &[])
        .await
        .unwrap();
    let added_up = began.elapsed();
    let total: i64 = sums.iter().map(|row| row.get::<_, i64>(0)).sum();
    assert_eq!(total, 0);
    // A creator with a thousand sales, alone and beside others; and one page in the middle.
    let creator = database
        .query_one("SELECT owner_id::text FROM ledger_owners LIMIT 1", &[])
        .await
        .unwrap();
    let bits = uuid::Uuid::parse_str(creator.get(0)).unwrap().as_u128();
    let owner = lyceum_domain::ids::UserId::from_u128(bits);
    let path = format!("/admin/v1/ledger/entries?account=creator_payable&owner={owner}&limit=100");
    let mut slowest = std::time::Duration::ZERO;
    let mut after = String::new();
    let mut lines = 0;
    loop {
        let began = Instant::now();
        let page = operator.get(&format!("{path}{after}")).await.expect(200).json();
        slowest = slowest.max(began.elapsed());
        lines += page["data"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    println!(
        "trial balance over 10,000,000 transactions: {added_up:?}; slowest of {lines} lines by 100: {slowest:?}"
    );
    let plan = database
        .query(
            "EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM ledger_sums('1970-01-01', 'infinity')",
            &[],
        )
        .await
        .unwrap();
    for line in &plan {
        println!("{}", line.get::<_, &str>(0));
    }
    assert!(lines > 1_000, "{lines}");
    // Of the promise, with room for a machine that does other things.
    assert!(
        added_up.as_secs() < 5 && slowest.as_millis() < 50,
        "{added_up:?} {slowest:?}"
    );
}

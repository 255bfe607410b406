//! Functions: a script may call those of [`ALLOWED`] and those that the settings
//! name, and no others.

use std::collections::BTreeMap;

use sqlx::postgres::types::Oid;
use sqlx::{PgConnection, Row};

use super::super::Error;
use super::super::routine::FUNCTIONS;
use super::super::scene::Scene;
use super::Finding;
use super::grants::{Grantee, open_schemas, some, take};

/// Which functions of `pg_catalog` are open, as a condition on `pg_proc p`. Of
/// those that initdb made and did not keep from everyone:
///
/// - aggregates and window functions;
/// - what stands behind an operator, a cast, an index or the text of a type, for
///   the server asks for EXECUTE there too;
/// - what computes its result from its arguments alone, by what it is declared;
/// - those named here, which read the clock, the time zone, the text search
///   configuration, or take arguments of any type; and `pg_backend_pid`, for the
///   host signs its tokens for a connection.
///
/// The exceptions make large values out of small ones, which no timeout stops,
/// hand text to libxml, run text as a query, or turn numbers into the names of
/// roles and functions. Those of tables and types the host's driver asks for.
pub const ALLOWED: &str = "\
    p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384
    AND p.oid NOT IN (SELECT objoid FROM pg_init_privs WHERE classoid = 'pg_proc'::regclass)
    AND p.proname <> ALL ('{array_fill,format,lpad,repeat,rpad,ts_rewrite,ts_stat,xmlagg,xmlcomment,xmlconcat2,xmlexists,xmlvalidate,xpath,xpath_exists}')
    AND p.prorettype <> 'xml'::regtype
    AND p.proname !~ '^(xml|query_to|table_to|schema_to|database_to|cursor_to|lo_|binary_upgrade_)|^reg.*in$|^reg(?!(class|type)out$).*out$'
    AND (p.prokind IN ('a', 'w')
      OR p.prokind = 'f' AND (
        p.oid IN (SELECT oprcode FROM pg_operator)
        OR p.oid IN (SELECT castfunc FROM pg_cast)
        OR p.oid IN (SELECT amproc FROM pg_amproc)
        OR p.oid IN (SELECT typinput FROM pg_type UNION SELECT typoutput FROM pg_type)
        OR p.provolatile = 'i' AND p.prolang IN (SELECT oid FROM pg_language WHERE lanname IN ('internal', 'sql'))
           AND p.proname !~ '^(pg_|acl|makeacl|satisfies_|postgresql_fdw)'
           AND p.prorettype <> ALL ('{internal,cstring,trigger,event_trigger}'::regtype[])
           AND NOT p.proargtypes::oid[] && '{internal,cstring}'::regtype[]::oid[]
        OR p.proname = ANY ('{age,array_sample,array_shuffle,array_to_json,array_to_string,clock_timestamp,concat,concat_ws,
             convert,convert_from,convert_to,date,date_add,date_part,date_subtract,date_trunc,enum_first,enum_last,enum_range,
             extract,gen_random_uuid,generate_series,get_current_ts_config,in_range,json_array_elements,json_build_array,
             json_build_object,json_object,json_populate_record,json_populate_recordset,json_to_record,json_to_recordset,
             json_to_tsvector,jsonb_build_array,jsonb_build_object,jsonb_path_exists_tz,jsonb_path_match_tz,
             jsonb_path_query_array_tz,jsonb_path_query_first_tz,jsonb_path_query_tz,jsonb_populate_record,
             jsonb_populate_recordset,jsonb_to_record,jsonb_to_recordset,jsonb_to_tsvector,length,make_timestamptz,
             nextval,now,num_nonnulls,num_nulls,overlaps,pg_backend_pid,pg_collation_for,pg_size_bytes,pg_size_pretty,pg_typeof,
             phraseto_tsquery,plainto_tsquery,quote_literal,quote_nullable,random,random_normal,row_to_json,
             statement_timestamp,timeofday,timezone,to_char,to_date,to_json,to_jsonb,to_number,to_timestamp,to_tsquery,
             to_tsvector,transaction_timestamp,ts_headline,ts_parse,unistr,uuidv4,uuidv7,websearch_to_tsquery}')))";

pub async fn check(connection: &mut PgConnection, scene: &Scene) -> Result<Vec<Finding>, Error> {
    let open = open_schemas(connection, scene).await?;
    let own = own(connection).await?;
    let found = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT n.nspname = 'pg_catalog' AS builtin, quote_ident(n.nspname) AS schema,
                format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)) AS name,
                p.prosecdef AS definer, a.grantee,
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee_name
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
                aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
          WHERE p.pronamespace = ANY ($1) AND a.grantee = ANY ($2) AND a.grantee <> p.proowner
            AND NOT p.oid = ANY ($3) AND NOT p.oid = ANY ($4)
            AND ({ALLOWED}) IS NOT TRUE
          ORDER BY 2, 3, 6",
    )));
    let rows =
        found.bind(&open).bind(&scene.reach).bind(&scene.functions).bind(&own).fetch_all(&mut *connection).await?;
    let mut findings = Vec::new();
    let mut plain: BTreeMap<(Grantee, String), Vec<String>> = BTreeMap::new();
    for row in &rows {
        let (grantee, name): (_, String) = (Grantee::of(row), row.get("name"));
        if row.get("definer") && !row.get::<bool, _>("builtin") {
            let why = format!("{} may call it, and it runs with the rights of its owner", grantee.name);
            let fix = take(scene, &grantee, "EXECUTE", &format!("ROUTINE {name}"));
            findings.push(Finding::new("definer function", name, why, fix));
        } else {
            plain.entry((grantee, row.get("schema"))).or_default().push(name);
        }
    }
    for ((grantee, _), names) in plain {
        let shown: Vec<&str> = names.iter().map(String::as_str).collect();
        let why = format!("{} may call what is not on the list of functions that do no harm", grantee.name);
        let fix = take(scene, &grantee, "EXECUTE", &format!("ROUTINE {}", names.join(", ")));
        findings.push(Finding::new("function", some(&shown), why, fix));
    }
    let missing = sqlx::query_scalar::<_, String>(
        "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.oid = ANY ($1) AND NOT EXISTS (
             SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = ANY ($2)) ORDER BY 1",
    );
    for name in missing.bind(&scene.functions).bind(&scene.reach).fetch_all(connection).await? {
        let fix = format!("GRANT EXECUTE ON ROUTINE {name} TO {}", scene.login.name.quoted);
        findings.push(Finding::new("grant", name, "the login role may not call it", [fix]));
    }
    Ok(findings)
}

/// The functions of the schema `airlock` that belong there.
pub(super) async fn own(connection: &mut PgConnection) -> Result<Vec<Oid>, Error> {
    let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.signature).collect();
    let found = sqlx::query_scalar(
        "SELECT to_regprocedure(n)::oid FROM unnest($1::text[]) n WHERE to_regprocedure(n) IS NOT NULL",
    );
    Ok(found.bind(names).fetch_all(connection).await?)
}

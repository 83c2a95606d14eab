"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "greetings",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=100), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("voice", sa.String(length=100), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("audio", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_greetings"),
    )
    op.create_index("ix_greetings_created_at", "greetings", ["created_at"])
    op.create_index("ix_greetings_version", "greetings", ["version"])
    op.create_table(
        "api_tokens",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=100), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT, nullable=True),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("hash", name="uq_api_tokens_hash"),
        sa.UniqueConstraint("name", name="uq_api_tokens_name"),
    )
    op.create_table(
        "audit",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.Column("address", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_target_at", "audit", ["target", "at"])

    op.create_table(
        "calls",
        sa.Column("id", ID, nullable=False),
        sa.Column("call_sid", sa.String(length=64), nullable=False),
        sa.Column("stream_sid", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("from_number", sa.String(length=100), nullable=False),
        sa.Column("to_number", sa.String(length=100), nullable=False),
        sa.Column("number", sa.String(length=100), nullable=False),
        sa.Column("profile_name", sa.String(length=100), nullable=False),
        sa.Column("profile_version", sa.String(length=64), nullable=False),
        sa.Column("provider", sa.String(length=100), nullable=True),
        sa.Column("model", sa.String(length=200), nullable=True),
        sa.Column("software_version", sa.String(length=40), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("cost_usd", sa.Double(), nullable=True),
        sa.Column("caller_talk_ms", sa.Integer(), nullable=False),
        sa.Column("bot_talk_ms", sa.Integer(), nullable=False),
        sa.Column("interruptions", sa.Integer(), nullable=False),
        sa.Column("generated_ms", sa.Integer(), nullable=False),
        sa.Column("heard_ms", sa.Integer(), nullable=False),
        sa.Column("corrections", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("latency_p50_ms", sa.Integer(), nullable=True),
        sa.Column("latency_p95_ms", sa.Integer(), nullable=True),
        sa.Column("round_trip_ms", sa.Integer(), nullable=True),
        sa.Column("has_audio", sa.Boolean(), nullable=False),
        sa.Column("storage_key", sa.String(length=300), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.CheckConstraint("kind IN ('twilio', 'browser', 'outbound')", name=op.f("ck_calls_kind")),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
        sa.UniqueConstraint("call_sid", name="uq_calls_call_sid"),
        sa.UniqueConstraint("storage_key", name="uq_calls_storage_key"),
    )
    op.create_index("ix_calls_ended_at", "calls", ["ended_at"])
    op.create_index("ix_calls_from_number_started_at", "calls", ["from_number", "started_at"])
    op.create_index("ix_calls_number_started_at", "calls", ["number", "started_at"])
    op.create_index("ix_calls_outcome_started_at", "calls", ["outcome", "started_at"])
    op.create_index("ix_calls_started_at_id", "calls", ["started_at", "id"])
    op.create_index("ix_calls_to_number_started_at", "calls", ["to_number", "started_at"])

    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in ("profiles", "greetings")])
    op.create_table(
        "alarms",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("alarm", sa.String(length=200), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("day", "alarm", name="pk_alarms"),
    )
    op.create_table(
        "spent",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("number", sa.String(length=100), nullable=False),
        sa.Column("usd", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("day", "process", "number", name="pk_spent"),
    )
    op.create_table(
        "spent_in_all",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("number", sa.String(length=100), nullable=False),
        sa.Column("usd", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("day", "number", name="pk_spent_in_all"),
    )
    op.create_table(
        "continuations",
        sa.Column("call_sid", sa.String(length=100), nullable=False),
        sa.Column("continuation", sa.Text(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("call_sid", name="pk_continuations"),
    )
    op.create_index("ix_continuations_expires_at", "continuations", ["expires_at"])
    op.create_table(
        "live_audio",
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("call_sid", sa.String(length=100), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("sound", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("process", "call_sid", "sequence", name="pk_live_audio"),
    )
    op.create_table(
        "live_calls",
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("call_sid", sa.String(length=100), nullable=False),
        sa.Column("stream", sa.String(length=40), nullable=False),
        sa.Column("number", sa.String(length=100), nullable=False),
        sa.Column("caller", sa.String(length=100), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("snapshot", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("process", "call_sid", name="pk_live_calls"),
    )
    op.create_index("ix_live_calls_call_sid", "live_calls", ["call_sid"])
    op.create_table(
        "live_commands",
        sa.Column("id", ID, nullable=False),
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("call_sid", sa.String(length=100), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("who", sa.String(length=100), nullable=False),
        sa.Column("wish", sa.Text(), nullable=True),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_live_commands"),
    )
    op.create_index("ix_live_commands_process", "live_commands", ["process"])
    op.create_table(
        "live_events",
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("call_sid", sa.String(length=100), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("process", "call_sid", "sequence", name="pk_live_events"),
    )
    op.create_table(
        "live_processes",
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("takes_calls", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("process", name="pk_live_processes"),
    )
    op.create_table(
        "numbers",
        sa.Column("id", ID, nullable=False),
        sa.Column("number", sa.String(length=100), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("imported_hash", sa.String(length=64), nullable=True),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_numbers"),
        sa.UniqueConstraint("number", name="uq_numbers_number"),
    )
    op.create_table(
        "opt_outs",
        sa.Column("number", sa.String(length=100), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_opt_outs"),
    )
    op.create_table(
        "outbound_calls",
        sa.Column("id", ID, nullable=False),
        sa.Column("to_number", sa.String(length=100), nullable=False),
        sa.Column("from_number", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.String(length=100), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("result", sa.String(length=24), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("attempted_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("lease", sa.String(length=100), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("call_sid", sa.String(length=64), nullable=True),
        sa.Column("answered_by", sa.String(length=24), nullable=True),
        sa.Column("tries", sa.JSON(), nullable=False),
        sa.Column("cancelled_by", sa.String(length=100), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'dialling', 'talking', 'done', 'failed', 'cancelled')",
            name=op.f("ck_outbound_calls_state"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_outbound_calls"),
    )
    op.create_index("ix_outbound_calls_call_sid", "outbound_calls", ["call_sid"])
    op.create_index("ix_outbound_calls_ended_at", "outbound_calls", ["ended_at"])
    op.create_index("ix_outbound_calls_from_number_state", "outbound_calls", ["from_number", "state"])
    op.create_index("ix_outbound_calls_state_due_at", "outbound_calls", ["state", "due_at"])
    op.create_index("ix_outbound_calls_to_number_state", "outbound_calls", ["to_number", "state"])
    op.create_table(
        "spent_tokens",
        sa.Column("nonce", sa.String(length=100), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("nonce", name="pk_spent_tokens"),
    )
    op.create_index("ix_spent_tokens_expires_at", "spent_tokens", ["expires_at"])

    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("password_hash", sa.String(length=300), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "messages",
        sa.Column("id", ID, nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=False),
        sa.Column("call_sid", sa.String(length=64), nullable=False),
        sa.Column("taken_at", MOMENT, nullable=False),
        sa.Column("number", sa.String(length=100), nullable=False),
        sa.Column("profile_name", sa.String(length=100), nullable=False),
        sa.Column("from_number", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("call_back", sa.String(length=100), nullable=False),
        sa.Column("for_whom", sa.String(length=100), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.Column("done_by", sa.String(length=100), nullable=True),
        sa.Column("found_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.UniqueConstraint("message_id", name="uq_messages_message_id"),
    )
    op.create_index("ix_messages_call_sid", "messages", ["call_sid"])
    op.create_index("ix_messages_taken_at_id", "messages", ["taken_at", "id"])
    op.create_index("ix_messages_done_at_taken_at", "messages", ["done_at", "taken_at"])
    op.create_table(
        "after_calls",
        sa.Column("id", ID, nullable=False),
        sa.Column("call_id", ID, nullable=True),
        sa.Column("message_id", ID, nullable=True),
        sa.Column("wishes", sa.JSON(), nullable=False),
        sa.Column("noted", sa.JSON(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("lease", sa.String(length=100), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=True),
        sa.Column("write_attempts", sa.Integer(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("summary_problem", sa.Text(), nullable=True),
        sa.Column("extracted", sa.JSON(), nullable=True),
        sa.Column("extracted_problem", sa.Text(), nullable=True),
        sa.Column("delivery_id", sa.String(length=36), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempted_at", MOMENT, nullable=True),
        sa.Column("delivered_at", MOMENT, nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'done', 'given_up')", name=op.f("ck_after_calls_state")),
        sa.CheckConstraint("(call_id IS NULL) <> (message_id IS NULL)", name=op.f("ck_after_calls_one")),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_after_calls_call_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name="fk_after_calls_message_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_after_calls"),
        sa.UniqueConstraint("call_id", name="uq_after_calls_call_id"),
        sa.UniqueConstraint("message_id", name="uq_after_calls_message_id"),
    )
    op.create_index("ix_after_calls_state_due_at", "after_calls", ["state", "due_at"])
    op.create_table(
        "call_texts",
        sa.Column("call_id", ID, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_call_texts_call_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", name="pk_call_texts"),
    )
    op.create_table(
        "profile_versions",
        sa.Column("id", ID, nullable=False),
        sa.Column("number_id", ID, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("test_callers", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(
            ["number_id"], ["numbers.id"], name="fk_profile_versions_number_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_profile_versions"),
        sa.UniqueConstraint("number_id", "sequence", name="uq_profile_versions_number_id_sequence"),
    )
    op.create_index("ix_profile_versions_version", "profile_versions", ["version"])

    op.create_table(
        "sessions",
        sa.Column("id_hash", sa.String(length=64), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_seen_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("address", sa.String(length=100), nullable=False),
        sa.Column("user_agent", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sessions_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id_hash", name="pk_sessions"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])

    op.create_table(
        "tool_calls",
        sa.Column("call_id", ID, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("tool_call_id", sa.String(length=200), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("start_ms", sa.Integer(), nullable=False),
        sa.Column("end_ms", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_tool_calls_call_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "sequence", name="pk_tool_calls"),
    )
    op.create_table(
        "turns",
        sa.Column("call_id", ID, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("who", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("unheard_text", sa.Text(), nullable=False),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.Column("heard_ms", sa.Integer(), nullable=True),
        sa.Column("of_ms", sa.Integer(), nullable=True),
        sa.Column("start_ms", sa.Integer(), nullable=True),
        sa.Column("end_ms", sa.Integer(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("model_ms", sa.Integer(), nullable=True),
        sa.Column("ours_us", sa.Integer(), nullable=True),
        sa.Column("item_id", sa.String(length=200), nullable=True),
        sa.Column("typed_by", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_turns_call_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "sequence", name="pk_turns"),
    )
    op.create_index(
        "ix_turns_call_id_latency_ms",
        "turns",
        ["call_id", "latency_ms"],
        sqlite_where=sa.text("latency_ms IS NOT NULL"),
        postgresql_where=sa.text("latency_ms IS NOT NULL"),
    )
    op.create_table(
        "usage",
        sa.Column("call_id", ID, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("response_id", sa.String(length=200), nullable=True),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("input_text", sa.Integer(), nullable=False),
        sa.Column("input_audio", sa.Integer(), nullable=False),
        sa.Column("input_image", sa.Integer(), nullable=False),
        sa.Column("cached_text", sa.Integer(), nullable=False),
        sa.Column("cached_audio", sa.Integer(), nullable=False),
        sa.Column("cached_image", sa.Integer(), nullable=False),
        sa.Column("output_text", sa.Integer(), nullable=False),
        sa.Column("output_audio", sa.Integer(), nullable=False),
        sa.Column("cost_usd", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_usage_call_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("call_id", "sequence", name="pk_usage"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _spare_the_log()


def _spare_the_log() -> None:
    """
    What is written anew all the time, and by whoever is alive once it is gone: not into the write-ahead log.

    After a crash of the server, and on a standby that takes over, these tables are empty. A process then finds that
    it is not known, and writes all its calls again. Half of each page of live_calls stays free, so that a row's
    next version finds room beside it and no index has to be touched.
    """
    for table in ("live_audio", "live_calls", "live_events", "live_processes"):
        op.execute(f"ALTER TABLE {table} SET UNLOGGED")
    op.execute("ALTER TABLE live_calls SET (fillfactor = 50)")

"""
The fields of a form for a profile: a line here for each key of profile.py. A key that has none is found by a test.
"""

from typing import Any

from phonebot.agents.form_parts import KEYS, LOCAL, SEMANTIC, SERVER, TURNS, Field, Section
from phonebot.agents.hours import DAYS

WITHOUT_FIELD = frozenset(
    {
        *("agents", "guardrails", "handoffs", "lookup", "summary", "extract", "after_call", "destinations"),
        "messages.headers",
    }
)
"""Keys that are written as TOML: a profile that has one opens so."""

_BY_EAR = (SERVER, LOCAL)
_DETECTED = (SERVER, SEMANTIC, LOCAL)


def _switch(key: str, label: str, hint: str, **more: Any) -> Field:
    return Field(key, label, "switch", hint, choices=(("true", "Yes"), ("false", "No")), **more)


SECTIONS = (
    Section(
        "What the bot says",
        "",
        (
            Field("name", "Name", "text", "What you call it; callers never hear it."),
            Field(
                "language",
                "Language",
                "text",
                "Of the call: a tag such as en-US or de. It replaces {language} in the prompt.",
                suggestions=("en-US", "en-GB", "de-DE", "es-ES", "fr-FR", "it-IT", "nl-NL", "pt-BR"),
            ),
            Field(
                "languages",
                "Further languages",
                "words",
                "Tags, separated by commas: into these set_language changes, where a caller wishes it.",
                unset="none",
                rare=True,
            ),
            Field(
                "greeting",
                "Greeting",
                "long text",
                "What the bot says first.",
                unset="none: the bot waits for the caller to speak",
            ),
            Field(
                "greeting_audio",
                "Recorded greeting",
                "text",
                "A recording in which the greeting is said: it plays before the model is connected.",
                unset="none: the model speaks the greeting",
                rare=True,
            ),
            _switch(
                "greeting_cache",
                "Keep the greeting",
                "The greeting is kept as the model first spoke it: later callers hear it at once.",
                rare=True,
            ),
            Field("prompt", "Prompt", "long text", "What the model is told to be and to do."),
        ),
    ),
    Section(
        "Voice and model",
        "",
        (
            Field(
                "voice",
                "Voice",
                "text",
                "Models differ in what they offer.",
                unset="the model's own",
                suggestions=(
                    "marin",
                    "cedar",
                    "alloy",
                    "ash",
                    "ballad",
                    "coral",
                    "echo",
                    "sage",
                    "shimmer",
                    "verse",
                ),
            ),
            Field(
                "model",
                "Model",
                "text",
                "On Azure the name of a deployment.",
                unset="the deployment's",
                suggestions=("gpt-realtime-2.1", "gpt-realtime", "gpt-realtime-mini"),
            ),
            Field(
                "temperature",
                "Temperature",
                "number",
                "How varied the answers are. It reaches models of the beta dialect alone.",
                unset="the model's own",
                rare=True,
            ),
            Field(
                "max_output_tokens",
                "Longest answer",
                "number",
                "A longer answer ends in the middle of a sentence.",
                unset="the model's own",
                unit="tokens",
                suggestions=("inf",),
                rare=True,
            ),
            Field(
                "truncation.type",
                "Long conversations",
                "choice",
                "Each answer is charged for all that was said before. Only models of the GA dialect are told.",
                unset="forgotten bit by bit once the model is full; cut at once where a figure below is set",
                choices=(
                    ("retention_ratio", "Cut at once to a share"),
                    ("auto", "Forgotten bit by bit once the model is full"),
                    ("disabled", "Never forgotten: a full model answers no more"),
                ),
                rare=True,
            ),
            Field(
                "truncation.post_instructions",
                "Cut at",
                "number",
                "Once what was said has more, the prompt and functions not counted.",
                unset="what the model takes",
                unit="tokens",
                rare=True,
            ),
            Field(
                "truncation.retention_ratio", "Cut to", "number", "The share that is kept, the newest.", rare=True
            ),
        ),
    ),
    Section(
        "Turn taking",
        "Who decides that the caller's turn begins and ends.",
        (
            Field(
                TURNS,
                "Decided",
                "choice",
                "",
                choices=(
                    (SERVER, "By loudness, by the model's service"),
                    (SEMANTIC, "By the words: whether the caller has finished"),
                    (LOCAL, "By phonebot, for services that tell nothing of it"),
                    (KEYS, "By the caller, with the key #"),
                ),
            ),
            Field(
                "turn_detection.eagerness",
                "Eagerness",
                "choice",
                "How soon it answers.",
                choices=(("low", "Low"), ("medium", "Medium"), ("high", "High"), ("auto", "Auto")),
                types=(SEMANTIC,),
            ),
            Field(
                "turn_detection.silence_duration_ms",
                "Pause that ends a turn",
                "number",
                "Shorter answers faster and interrupts slow speakers.",
                unit="ms",
                types=_BY_EAR,
            ),
            Field(
                "turn_detection.threshold",
                "Threshold",
                "number",
                "How loud speech must be, or how far above the noise. Raise it for noisy callers.",
                types=_BY_EAR,
            ),
            Field(
                "turn_detection.min_speech_ms",
                "Speech that begins a turn",
                "number",
                "Raise it where coughs and clicks interrupt the bot.",
                unit="ms",
                types=(LOCAL,),
            ),
            _switch(
                "turn_detection.withhold_silence",
                "Withhold silence",
                "What of the caller's audio is no speech is not sent to the model, and not paid for.",
                types=(LOCAL, KEYS),
            ),
            Field(
                "turn_detection.prefix_padding_ms",
                "Audio before the turn",
                "number",
                "How much from before the detected start belongs to it.",
                unit="ms",
                types=_BY_EAR,
                rare=True,
            ),
            Field(
                "turn_detection.idle_timeout_ms",
                "Speak up after",
                "number",
                "After so long a silence the model speaks by itself.",
                unset="never",
                unit="ms",
                types=(SERVER,),
                rare=True,
            ),
            _switch(
                "turn_detection.create_response",
                "Answers",
                "Whether the model answers when the caller's turn ends.",
                types=_DETECTED,
                rare=True,
            ),
            _switch(
                "turn_detection.interrupt_response",
                "Service stops the answer",
                "Whether the model's service stops its answer by itself when the caller speaks; if not, phonebot"
                " does.",
                types=_DETECTED,
                rare=True,
            ),
        ),
    ),
    Section(
        "Interruptions",
        "By default any speech that is detected stops the bot, at once.",
        (
            _switch("interruptible", "Bot may be interrupted", "Whether the caller can interrupt the bot at all."),
            _switch(
                "greeting_interruptible", "Greeting may be interrupted", "Whether he can interrupt the greeting."
            ),
            Field(
                "barge_in.min_speech_ms",
                "Speech that interrupts",
                "number",
                "What is shorter is ignored while the bot speaks; 300 keeps most coughs out.",
                unit="ms",
                rare=True,
            ),
            Field(
                "barge_in.hold_ms",
                "Pause to listen",
                "number",
                "For how long, at most, the bot pauses until the words are known; without any it goes on.",
                unit="ms",
                rare=True,
            ),
            Field(
                "barge_in.backchannels",
                "Words that do not interrupt",
                "words",
                "Such as mhm, uh-huh: separated by commas. They need the pause to listen.",
                unset="none",
                rare=True,
            ),
            _switch(
                "barge_in.echo_guard",
                "Echo guard",
                "Whether the bot's own voice, coming back from a loudspeaker, is told from the caller.",
                rare=True,
            ),
            _switch("barge_in.keys", "Keys interrupt", "Whether any key stops the bot, too.", rare=True),
            Field(
                "barge_in.when_not_interruptible",
                "Said meanwhile",
                "choice",
                "What becomes of what is said while the bot may not be interrupted.",
                choices=(("heard", "The model hears it and answers afterwards"), ("withheld", "It hears silence")),
                rare=True,
            ),
        ),
    ),
    Section(
        "Hearing",
        "",
        (
            Field(
                "noise_reduction",
                "Noise reduction",
                "choice",
                "Filters the caller's audio before the model hears it.",
                unset="off",
                choices=(("near_field", "For handsets and headsets"), ("far_field", "For loudspeaker phones")),
            ),
            Field(
                "transcription",
                "Write down the caller's words",
                "choice",
                "The model hears the caller either way.",
                unset="yes",
                choices=(("false", "No"),),
            ),
            Field(
                "transcription.language",
                "Caller's language",
                "text",
                "If it is always the same: a code such as en or de.",
                unset="detected",
            ),
            Field(
                "transcription.prompt",
                "Words to expect",
                "long text",
                "Such as names, which are then written correctly.",
                unset="none",
                rare=True,
            ),
            Field(
                "transcription.model",
                "Transcription model",
                "text",
                "On Azure the name of a transcription deployment of the same resource.",
                rare=True,
            ),
        ),
    ),
    Section(
        "Keys",
        "What the caller keys in is an answer, as if he had said it, once anything is set here.",
        (
            Field(
                "keys.menu",
                "Menu",
                "table",
                "What keys mean, a line for each: 1 = I want to book a table. Others are told as they are.",
                unset="none",
            ),
            Field(
                "keys.terminator",
                "Key that ends a number",
                "choice",
                "",
                choices=(("#", "#"), ("*", "*"), ("none", "None: a pause ends it")),
            ),
            Field(
                "keys.timeout_s", "Pause that ends it", "number", "So long after the last key.", unit="s", rare=True
            ),
            Field("keys.max", "Most keys", "number", "So many end it.", rare=True),
            _switch(
                "keys.hidden",
                "Hide the keys",
                "Whether neither the model nor the records are told which keys they were; a function may be.",
                rare=True,
            ),
        ),
    ),
    Section(
        "What it may do",
        "",
        (
            Field(
                "tools",
                "Functions",
                "words",
                "What the model may call: names of the deployment's functions, separated by commas. Requests and "
                "MCP servers are written as TOML.",
                unset="none",
            ),
            Field(
                "messages.people",
                "Messages may be for",
                "words",
                "With the function take_message: names, separated by commas.",
                unset="whomever the caller names",
            ),
            Field(
                "messages.url",
                "Tell of messages",
                "text",
                "A URL that is told of each at once. All are on the page Messages, too.",
                unset="nobody",
            ),
            Field(
                "messages.sign_with",
                "Signed with",
                "text",
                "The secret of the signature: its name, such as CRM for PHONEBOT_SECRET_CRM.",
                unset="not signed",
                rare=True,
            ),
            Field(
                "messages.timeout_s",
                "Wait for its answer",
                "number",
                "Then it is tried again.",
                unit="s",
                rare=True,
            ),
        ),
    ),
    Section(
        "Earlier calls",
        "What the bot is told of the caller's earlier calls to this number, once one of these is set.",
        (
            Field("history.calls", "Calls", "number", "So many of the newest."),
            Field("history.days", "Not older than", "number", "What is older is not told.", unit="days"),
            Field(
                "history.timeout_s",
                "Waits at most",
                "number",
                "For the database, before it answers.",
                unit="s",
                rare=True,
            ),
        ),
    ),
    Section(
        "Hours",
        "When your people are there. With them, texts may hold {open}, how it stands, and {hours}, the week.",
        (
            Field(
                "hours.time_zone",
                "Time zone",
                "text",
                "Of the times below, and of {now}.",
                unset="none: there are no hours",
                suggestions=("Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "UTC"),
            ),
            *(
                Field(
                    f"hours.{day}",
                    day.capitalize(),
                    "words",
                    "Spans such as 09:00-12:00, 13:00-17:30." if day == DAYS[0] else "",
                    unset="closed",
                )
                for day in DAYS
            ),
            Field(
                "hours.dates",
                "Dates that are different",
                "words",
                "Such as 2026-12-24 09:00-12:00, 2026-12-25 to 2026-12-26 closed.",
                unset="none",
            ),
            Field(
                "hours.closed.then",
                "When it is closed",
                "choice",
                "Who answers then.",
                choices=(
                    ("talk", "The bot"),
                    ("say", "A sentence, without a model"),
                    ("transfer", "Another number"),
                ),
            ),
            Field(
                "hours.closed.greeting",
                "Greeting when closed",
                "long text",
                "In place of the greeting, where the bot answers.",
                unset="the same greeting",
            ),
            Field(
                "hours.closed.prompt",
                "Added to the prompt when closed",
                "long text",
                "Such as: offer to take a message. Where the bot answers.",
                unset="nothing",
            ),
            Field(
                "hours.closed.say",
                "Said when closed",
                "long text",
                "In the carrier's voice, before it hangs up or puts the caller through.",
                unset="nothing",
                rare=True,
            ),
            Field(
                "hours.closed.to",
                "Put through to",
                "text",
                "A number such as +15550100009, or a SIP address.",
                unset="nobody",
                rare=True,
            ),
            Field("hours.closed.ring_s", "Rings for", "number", "", unit="s", rare=True),
            Field(
                "hours.closed.unanswered",
                "Said when nobody answers there",
                "long text",
                "Then the call ends.",
                unset="a short apology",
                rare=True,
            ),
        ),
    ),
    Section(
        "The call",
        "",
        (
            Field(
                "max_call_s",
                "Longest call",
                "number",
                "Then the bot says goodbye and hangs up. The model is told shortly before.",
                unit="s",
            ),
            Field(
                "max_cost_usd",
                "Cost limit of a call",
                "number",
                "What the model may cost in a call. Then it ends likewise.",
                unset="as much as it takes",
                unit="US dollars",
            ),
            Field(
                "max_cost_per_day_usd",
                "Cost limit of a day",
                "number",
                "What the model may cost in all calls of the number on a day of UTC. Then they end; who calls is "
                "put through to Transfer to, or hears an excuse.",
                unset="as much as it takes",
                unit="US dollars",
            ),
            Field(
                "limits.goodbye",
                "Last words",
                "text",
                "What the bot says when a call has reached one of these limits.",
                unset="an excuse, thanks and a goodbye",
                rare=True,
            ),
            Field(
                "limits.warn",
                "Told to the model before",
                "text",
                "When a call is near one of these limits.",
                unset="that the call has to end, and when",
                rare=True,
            ),
            Field(
                "limits.sorry",
                "Excuse",
                "text",
                "What the carrier's voice says to who calls when the day's limit is spent.",
                unset="an excuse in English",
                rare=True,
            ),
            _switch("record", "Record", "Whether the audio of the call is kept with its log."),
            Field(
                "consent",
                "Notice of the recording",
                "long text",
                "Said before all else, to its end. Nothing is recorded before it was heard.",
                unset="none: all of the call is recorded",
            ),
        ),
    ),
    Section(
        "Silence",
        "When nobody speaks, the bot asks whether the caller is still there, and hangs up in the end.",
        (
            Field("no_input.after_s", "Ask after", "number", "Of silence.", unset="never", unit="s"),
            Field("no_input.times", "Ask so often", "number", "Without a word of the caller's; then it hangs up."),
            Field("no_input.say", "Question", "text", "", unset="Are you still there?"),
            Field("no_input.goodbye", "Goodbye", "text", "What is said before it hangs up.", unset="a short one"),
        ),
    ),
    Section(
        "Transfers",
        "To a person. The model can transfer a call if transfer_call is among the functions.",
        (
            Field(
                "transfer_to",
                "Transfer to",
                "text",
                "A number such as +15550100009. Several destinations are written as TOML.",
                unset="nobody",
            ),
            _switch(
                "transfer.warm",
                "Ask the colleague first",
                "Whether the caller stays with the bot until the colleague, who is told why he calls, takes it.",
            ),
            Field("transfer.say", "Announcement", "text", "What the caller hears before."),
            Field(
                "transfer.when_unanswered",
                "When nobody takes the call",
                "choice",
                "",
                choices=(("", "The bot goes on with it"), ("say", "An excuse is said, and it ends")),
            ),
            Field("transfer.sorry", "Excuse", "text", "What is said before such a call ends.", rare=True),
            Field("transfer.ring_s", "Let it ring for", "number", "Then nobody has answered.", unit="s", rare=True),
            Field("transfer.limit_s", "Longest talk", "number", "Then the two are parted.", unit="s", rare=True),
            Field(
                "transfer.whisper",
                "Told to the colleague",
                "long text",
                "Before he is connected, with {summary} and {caller} replaced. If he is asked first it has to say "
                "that 1 takes the call.",
                unset="who calls and why if he is asked first, else nothing",
                rare=True,
            ),
            _switch("transfer.hold_music", "Hold music", "Whether it plays while a colleague is asked.", rare=True),
            Field(
                "transfer.caller_id",
                "Colleague sees",
                "choice",
                "",
                choices=(("", "This number"), ("caller", "The caller's number")),
                rare=True,
            ),
            _switch(
                "transfer.when_failed",
                "Transfer if the bot fails",
                "Whether a call goes to the number above if the model cannot be reached or fails.",
                rare=True,
            ),
        ),
    ),
    Section(
        "Calling out",
        "Calls that this number makes. In these texts {reason} is why somebody is called.",
        (
            Field("outbound.greeting", "Greeting", "long text", "What the bot says first.", unset="as for callers"),
            Field("outbound.prompt", "Prompt", "long text", "What it is told besides.", unset="none"),
            Field(
                "outbound.machine",
                "Answering machine",
                "choice",
                "What is done when no person answers.",
                choices=(
                    ("", "Hang up"),
                    ("leave_message", "Leave the message after its beep"),
                    ("talk", "Talk to it like to a person"),
                ),
            ),
            Field("outbound.message", "Message", "long text", "What is left on the machine.", unset="none"),
            Field("outbound.retries", "Further attempts", "number", "If nobody could be reached."),
            Field(
                "outbound.retry_after_s", "Wait before another attempt", "number", "From the end of one.", unit="s"
            ),
            Field(
                "outbound.quiet",
                "Quiet hours",
                "words",
                "When nobody is called, separated by commas: 20:00-09:00, or sun 00:00-24:00 for one day.",
                unset="none",
            ),
            Field(
                "outbound.time_zone",
                "Time zone of the quiet hours",
                "text",
                "Such as Europe/Berlin: where those who are called live.",
                suggestions=("UTC", "Europe/London", "Europe/Berlin", "America/New_York", "America/Los_Angeles"),
            ),
            Field(
                "outbound.retry_on",
                "Try again after",
                "words",
                "What of busy, no_answer, failed and machine: separated by commas.",
                rare=True,
            ),
            Field("outbound.ring_s", "Let it ring for", "number", "Then nobody has answered.", unit="s", rare=True),
            Field("outbound.at_once", "Calls at a time", "number", "The others wait.", rare=True),
            _switch(
                "outbound.detect",
                "Find out who answers",
                "Whether the carrier listens if it is a machine; it charges for that.",
                rare=True,
            ),
        ),
    ),
)
FIELDS = tuple(field for section in SECTIONS for field in section.fields)

-- Times are microseconds since 1970. Enumerations are numbers of the proto, or names where there is none in it.

-- Everybody who registered.
CREATE TABLE recipient (
    user_id TEXT PRIMARY KEY,
    locale TEXT NOT NULL,
    register_time BIGINT NOT NULL
);

-- Who lets advertising come by which channel.
CREATE TABLE consent (
    user_id TEXT NOT NULL,
    channel BIGINT NOT NULL,
    granted BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, channel)
);

CREATE TABLE preference (
    user_id TEXT PRIMARY KEY,
    -- A JSON list of pairs of numbers: category, channel.
    refused TEXT NOT NULL,
    quiet_start BIGINT,
    quiet_end BIGINT,
    digest BIGINT NOT NULL,
    locale TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    version BIGINT NOT NULL,
    update_time BIGINT NOT NULL
);

CREATE TABLE device (
    device_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    push_service BIGINT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE,
    sealed BYTES NOT NULL,
    register_time BIGINT NOT NULL
);
CREATE INDEX device_by_user ON device (user_id, register_time, device_id);

-- What orders are about, for the texts.
CREATE TABLE goods (
    order_id TEXT NOT NULL,
    part BIGINT NOT NULL,
    title TEXT NOT NULL,
    more BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    PRIMARY KEY (order_id, part)
);
CREATE INDEX goods_by_time ON goods (create_time);

CREATE TABLE notification (
    notification_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    -- What it was written for: an event, a campaign, a digest.
    occasion TEXT NOT NULL,
    template TEXT NOT NULL,
    category BIGINT NOT NULL,
    in_app BOOLEAN NOT NULL,
    -- The facts, sealed; empty where they are a campaign's.
    sealed BYTES NOT NULL,
    campaign_id TEXT,
    variant BIGINT,
    read_time BIGINT,
    create_time BIGINT NOT NULL,
    UNIQUE (occasion, user_id, template)
);
CREATE INDEX notification_by_user ON notification (user_id, notification_id);
CREATE INDEX notification_by_unread ON notification (user_id, read_time);
CREATE INDEX notification_by_campaign ON notification (campaign_id, variant);
CREATE INDEX notification_by_time ON notification (create_time);

-- A notice on its way out of the app.
CREATE TABLE delivery (
    delivery_id TEXT PRIMARY KEY,
    notification_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    -- Numbers of the ways to try, separated by commas.
    channels TEXT NOT NULL,
    -- Which of them is tried now.
    position BIGINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    turn BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    due_time BIGINT NOT NULL,
    -- How often anybody took it up; the compare-and-set of every change.
    attempts BIGINT NOT NULL,
    provider TEXT NOT NULL,
    -- What the provider calls it.
    message_id TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    update_time BIGINT NOT NULL,
    UNIQUE (notification_id, channels)
);
CREATE INDEX delivery_by_due ON delivery (state, due_time);
CREATE INDEX delivery_by_user ON delivery (user_id, state);

-- Every time that somebody was asked to send; only ever added to and ended.
CREATE TABLE attempt (
    delivery_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    channel BIGINT NOT NULL,
    provider TEXT NOT NULL,
    -- The person's quiet hours at that time, `1320-480 Asia/Seoul`; empty: none that counted.
    quiet TEXT NOT NULL,
    start_time BIGINT NOT NULL,
    -- Empty: under way, or whoever made it died.
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (delivery_id, attempt)
);

CREATE TABLE campaign (
    campaign_id TEXT PRIMARY KEY,
    created_by TEXT NOT NULL,
    -- A BroadcastRequest without its list of people.
    request BYTES NOT NULL,
    status BIGINT NOT NULL,
    send_time BIGINT NOT NULL,
    -- The last person told.
    progress TEXT NOT NULL,
    create_time BIGINT NOT NULL
);
CREATE INDEX campaign_by_time ON campaign (status, send_time);

CREATE TABLE campaign_target (
    campaign_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (campaign_id, user_id)
);

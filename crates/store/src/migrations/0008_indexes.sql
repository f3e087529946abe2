-- What every pass asks, without going through everything that was ever planned or done.

CREATE INDEX plan_status ON plan (status, target);
CREATE INDEX audit_action ON audit (action, seq);

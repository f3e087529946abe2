-- From where a token may be shown: networks, separated by spaces. NULL: from anywhere.
ALTER TABLE token ADD COLUMN networks TEXT;

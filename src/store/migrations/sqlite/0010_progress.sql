-- How far it is, as it says itself: a JSON object. NULL: it says nothing.
ALTER TABLE executions ADD COLUMN progress TEXT;

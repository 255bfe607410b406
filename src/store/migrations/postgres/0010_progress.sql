ALTER TABLE executions ADD COLUMN progress TEXT;

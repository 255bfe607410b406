const x = [;

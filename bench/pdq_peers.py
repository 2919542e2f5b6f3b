def run(folder):
    pass

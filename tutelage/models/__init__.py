from tutelage.models.allocation import share_one_heap

share_one_heap()
